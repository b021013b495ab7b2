//! Many values in five numbers. Go: `AggregateSample` of go-metrics, whose text this prints.

use std::fmt;

/// Count, sum, sum of squares, least and greatest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) sum_of_squares: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
}

impl Summary {
    /// One value.
    pub fn of(value: f64) -> Self {
        Self { count: 1, sum: value, sum_of_squares: value * value, least: value, greatest: value }
    }

    /// Something that happened `count` times; `None` for never.
    pub fn of_times(count: u64) -> Option<Self> {
        // Beyond 2^53 the sum is rounded, as Go's is.
        let sum = count as f64;
        (count > 0).then_some(Self { count, sum, sum_of_squares: sum, least: 1.0, greatest: 1.0 })
    }

    /// Takes in the values of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }

    /// All values added up.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Of the sample, as in Go.
    fn deviation(&self) -> f64 {
        let count = self.count as f64;
        let divisor = count * (count - 1.0);
        if divisor == 0.0 {
            return 0.0;
        }
        ((count * self.sum_of_squares - self.sum * self.sum) / divisor).max(0.0).sqrt()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deviation = self.deviation();
        if deviation == 0.0 {
            return write!(formatter, "Count: {} Sum: {:.3}", self.count, self.sum);
        }
        write!(
            formatter,
            "Count: {} Min: {:.3} Mean: {:.3} Max: {:.3} Stddev: {deviation:.3} Sum: {:.3}",
            self.count,
            self.least,
            self.sum / self.count as f64,
            self.greatest,
            self.sum
        )
    }
}
