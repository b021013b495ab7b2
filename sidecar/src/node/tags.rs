//! Changes of our tags. With a tags file they are checked, written, and only then told to the cluster, one after the
//! other (`docs/spec/rpc.md` 7.9, `docs/spec/agent-cli.md` 3.10).

use std::collections::VecDeque;

use folkmoot_serf::{RequestError, Tags, Text};

use super::questions::Reply;
use super::{Node, Waiter};
use crate::limits::OPERATIONS_AT_ONCE;

/// Changes on their way into the tags file.
#[derive(Default)]
pub(super) struct TagChanges {
    /// What is being written, and who waits for it.
    written: Option<(Tags, Reply)>,
    /// They count from what the ones before leave behind.
    waiting: VecDeque<Change>,
}

struct Change {
    set: Tags,
    delete: Vec<Text>,
    reply: Reply,
}

impl Node {
    pub(super) fn set_tags(&mut self, set: Tags, delete: Vec<Text>, reply: Reply) {
        let Some(reply) = self.with_room(reply) else { return };
        let change = Change { set, delete, reply };
        if !self.keeper.keeps_tags() {
            let tags = self.changed(&change);
            return self.tell_tags(tags, change.reply);
        }
        if self.tag_changes.waiting.len() >= OPERATIONS_AT_ONCE {
            let text = format!("{OPERATIONS_AT_ONCE} changes of tags are waiting, try again later");
            let _ = change.reply.send(Err(RequestError::Other(text)));
            return;
        }
        self.tag_changes.waiting.push_back(change);
        self.write_tags();
    }

    /// The tags file holds the change that was being written, or could not take it.
    pub(super) fn tags_kept(&mut self, result: Result<(), String>) {
        let Some((tags, reply)) = self.tag_changes.written.take() else { return };
        match result {
            Ok(()) => self.tell_tags(tags, reply),
            Err(reason) => not_kept(reason, reply),
        }
        self.write_tags();
    }

    /// Begins to write the next change, if none is being written.
    fn write_tags(&mut self) {
        while self.tag_changes.written.is_none() {
            let Some(change) = self.tag_changes.waiting.pop_front() else { return };
            let tags = self.changed(&change);
            if let Err(too_long) = self.parts.serf.check_tags(&tags) {
                let _ = change.reply.send(Err(too_long));
                continue;
            }
            match self.keeper.keep_tags(&tags) {
                Ok(()) => self.tag_changes.written = Some((tags, change.reply)),
                Err(reason) => not_kept(reason, change.reply),
            }
        }
    }

    /// Our tags after a change. Deletes first, then sets: a tag in both is set.
    fn changed(&self, change: &Change) -> Tags {
        let mut tags = self.parts.serf.tags().clone();
        tags.0.retain(|name, _| !change.delete.contains(name));
        tags.0.extend(change.set.0.clone());
        tags
    }

    fn tell_tags(&mut self, tags: Tags, reply: Reply) {
        match self.parts.serf.set_tags(self.parts.clock.now(), tags) {
            Ok(operation) => {
                self.waiting.insert(operation, Waiter::SetTags(reply));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }
}

fn not_kept(reason: String, reply: Reply) {
    tracing::error!(target: "agent", "{reason}");
    let _ = reply.send(Err(RequestError::Other(reason)));
}
