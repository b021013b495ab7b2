//! Sizes and times for the shell's metrics (`docs/spec/serf-gossip.md` 16): kept until the shell takes them, within bounds.

use std::time::Duration;

use crate::limits::SAMPLES;

/// Something measured, under the name Go's metrics have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// `serf.msgs.received`: bytes of a message of this layer.
    MessageReceived(usize),
    /// `serf.msgs.sent`: bytes of a message of this layer, each time it goes out.
    MessageSent(usize),
    /// `memberlist.probeNode`: how long a peer took to answer a probe.
    Probe(Duration),
    /// `serf.coordinate.adjustment-ms`: how far an answer moved our own coordinate.
    CoordinateMoved(Duration),
}

/// The samples not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    waiting: Vec<Sample>,
}

impl Samples {
    /// Keeps one; a shell that takes none loses all beyond the first ones.
    pub(crate) fn push(&mut self, sample: Sample) {
        if self.waiting.len() < SAMPLES {
            self.waiting.push(sample);
        }
    }

    /// All of them.
    pub(crate) fn take(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_taken_once_and_bounded_where_nobody_takes_them() {
        let mut samples = Samples::default();
        for bytes in 0..SAMPLES + 10 {
            samples.push(Sample::MessageSent(bytes));
        }
        let taken = samples.take();
        assert_eq!((taken.len(), taken[0]), (SAMPLES, Sample::MessageSent(0)));
        assert!(samples.take().is_empty());
    }
}
