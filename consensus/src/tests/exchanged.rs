//! What comes for a Raft that was exchanged since.

use openraft::raft::AppendEntriesRequest;

use super::hostile::{Victim, vote};
use crate::Timing;
use crate::frames::Kind;
use crate::raft_frames::{Append, Appended, read, write};
use crate::types::Tokio;

/// Its leader would wait for ten seconds otherwise, and with it everybody who writes.
#[tokio::test]
async fn an_append_is_answered_though_its_stream_began_before() {
    let victim = Victim::founded().await;
    let mut talk = victim.talk();
    let request =
        || AppendEntriesRequest { vote: vote(1000, true), prev_log_id: None, entries: Vec::new(), leader_commit: None };
    let mut answers = Vec::new();
    for timing in [None, Some(Timing::at(3)), None] {
        if let Some(timing) = timing {
            victim.group.member().seat.exchange(timing).await.unwrap();
        }
        talk.say(Kind::Append, |out| write(&Append::new::<Tokio>(request()), out)).await;
        answers.push(read::<Appended>(&talk.answer().await.body).unwrap());
    }
    assert!(matches!(&answers[..], [Appended::Through(_), Appended::Stopped(_), Appended::Through(_)]), "{answers:?}");
}
