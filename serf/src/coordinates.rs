//! Network coordinates (Vivaldi): an estimate of the round trip between any two nodes from the round trips of probes.
//!
//! Answers to Go's `coordinate/` package, `serf/ping_delegate.go` and `docs/spec/serf-gossip.md` section 14, whose order of
//! operations is kept to the last bit. Which coordinates of others are kept is decided elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_wire as wire;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Deserializer, Serialize};

use crate::NodeName;
use crate::limits::{COORDINATE_DIMENSIONS_MAX, LATENCY_FILTER_PEERS_MAX, ROUND_TRIP_MAX};

/// A network coordinate (seconds).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default = "Coordinate::zero", rename(deserialize = "Vec,Error,Adjustment,Height"))]
#[serde(rename_all = "PascalCase")]
pub struct Coordinate {
    /// Offset learned from probes: it corrects every distance.
    pub adjustment: f64,
    /// How wrong it may be, relative, at most 1.5; no unit.
    pub error: f64,
    /// The way through the node's own access link, never below 10 µs.
    pub height: f64,
    /// Position in Euclidean space: eight numbers.
    #[serde(deserialize_with = "deserialize_vec")]
    pub vec: Vec<f64>,
}

impl Default for Coordinate {
    /// The origin, sure of nothing: where every node starts.
    fn default() -> Self {
        Self { adjustment: 0.0, error: ERROR_MAX, height: HEIGHT_MIN, vec: vec![0.0; DIMENSIONS] }
    }
}

impl Coordinate {
    /// The round trip to expect between two nodes. `None` where Go panics or answers nonsense: their dimensions differ, or
    /// one of them is not finite, or the distance does not fit a [`Duration`].
    pub fn distance_to(&self, other: &Self) -> Option<Duration> {
        if !self.is_compatible(other) || !self.is_finite() || !other.is_finite() {
            return None;
        }
        duration(self.adjusted_distance(other))
    }

    /// Ping payload: version byte and map.
    #[expect(clippy::expect_used, reason = "four numbers have a MessagePack form, whatever their values")]
    pub fn encode_payload(&self) -> Bytes {
        let mut out = vec![PING_VERSION];
        wire::encode(wire::Dialect::Gossip, self, &mut out).expect("coordinates are encodable");
        Bytes::from(out)
    }

    /// Reads an ack's payload; `None` if the other side sent no coordinate. Bytes behind the map are ignored.
    ///
    /// # Errors
    /// To be logged, in Go's words; the sample does not count.
    pub fn decode_payload(payload: &[u8]) -> Result<Option<Self>, CoordinateError> {
        match payload.split_first() {
            None => Ok(None),
            Some((&PING_VERSION, map)) => wire::decode(map).map(Some).map_err(CoordinateError::Payload),
            Some((&version, _)) => Err(CoordinateError::Version(version)),
        }
    }

    /// What a field that a peer did not send is in Go.
    fn zero() -> Self {
        Self { adjustment: 0.0, error: 0.0, height: 0.0, vec: Vec::new() }
    }

    fn is_compatible(&self, other: &Self) -> bool {
        self.vec.len() == other.vec.len()
    }

    fn is_finite(&self) -> bool {
        self.vec.iter().all(|component| component.is_finite())
            && self.error.is_finite()
            && self.adjustment.is_finite()
            && self.height.is_finite()
    }

    /// Whether we learn from it. Go takes negative errors and heights too, which no agent has and which would drive ours
    /// out of their ranges.
    fn is_credible(&self) -> bool {
        self.is_finite() && self.error >= 0.0 && self.height >= 0.0
    }

    /// Seconds, without the adjustments.
    fn raw_distance(&self, other: &Self) -> f64 {
        magnitude(&difference(&self.vec, &other.vec)) + self.height + other.height
    }

    /// Seconds, with the adjustments unless they would make it negative, cut to whole nanoseconds as Go's `Duration` is.
    fn adjusted_distance(&self, other: &Self) -> f64 {
        let raw = self.raw_distance(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        let seconds = if adjusted > 0.0 { adjusted } else { raw };
        (seconds * NANOSECONDS).trunc()
    }

    /// Seconds from the whole nanoseconds of [`Self::adjusted_distance`].
    fn distance_seconds(&self, other: &Self) -> f64 {
        match duration(self.adjusted_distance(other)) {
            Some(distance) => seconds(distance),
            None => f64::INFINITY,
        }
    }

    /// Pushed away from `other` by `force` seconds (Go `ApplyForce`).
    fn pushed(&self, force: f64, other: &Self, random: &mut ChaCha8Rng) -> Self {
        let (direction, distance) = unit_vector(&self.vec, &other.vec, random);
        let vec = self.vec.iter().zip(&direction).map(|(own, unit)| own + unit * force).collect();
        let height = if distance > ZERO_THRESHOLD {
            ((self.height + other.height) * force / distance + self.height).max(HEIGHT_MIN)
        } else {
            self.height
        };
        Self { vec, height, ..*self }
    }
}

/// A sample that does not count. Nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CoordinateError {
    /// Ack payload of another version.
    #[error("Unsupported ping version: {0}")]
    Version(u8),
    /// Ack payload that is no coordinate.
    #[error("Failed to decode coordinate: {0}")]
    Payload(wire::DecodeError),
    /// The peer has another number of dimensions.
    #[error("dimensions aren't compatible")]
    Dimensions,
    /// The peer's coordinate is not finite, or has a negative error or height.
    #[error("coordinate is invalid")]
    Invalid,
    /// A round trip nobody believes.
    #[error(
        "round trip time not in valid range, duration {} is not a positive value less than 10s ",
        go_seconds(.0)
    )]
    RoundTrip(Duration),
}

/// Our own coordinate and what it is learned from.
#[derive(Debug, Clone)]
pub struct CoordinateClient {
    coordinate: Coordinate,
    origin: Coordinate,
    /// The last differences between measured and raw distance, to all peers alike.
    adjustments: [f64; ADJUSTMENT_WINDOW],
    next_adjustment: usize,
    /// The last round trips per peer (seconds), oldest first.
    samples: BTreeMap<NodeName, VecDeque<f64>>,
    resets: u64,
}

impl Default for CoordinateClient {
    fn default() -> Self {
        Self::new()
    }
}

impl CoordinateClient {
    /// At the origin, sure of nothing.
    pub fn new() -> Self {
        Self {
            coordinate: Coordinate::default(),
            origin: Coordinate::default(),
            adjustments: [0.0; ADJUSTMENT_WINDOW],
            next_adjustment: 0,
            samples: BTreeMap::new(),
            resets: 0,
        }
    }

    /// Where we are.
    pub fn coordinate(&self) -> &Coordinate {
        &self.coordinate
    }

    /// How often arithmetic went astray and the coordinate was set back.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Learns from one probe; returns how far our own coordinate moved.
    ///
    /// # Errors
    /// The sample is refused and nothing changed.
    pub fn update(
        &mut self,
        node: &NodeName,
        other: &Coordinate,
        round_trip: Duration,
        random: &mut ChaCha8Rng,
    ) -> Result<Duration, CoordinateError> {
        if !self.coordinate.is_compatible(other) {
            return Err(CoordinateError::Dimensions);
        }
        if !other.is_credible() {
            return Err(CoordinateError::Invalid);
        }
        if round_trip > ROUND_TRIP_MAX {
            return Err(CoordinateError::RoundTrip(round_trip));
        }
        let before = self.coordinate.clone();
        let round_trip = self.filtered(node, seconds(round_trip));
        self.apply_vivaldi(other, round_trip, random);
        self.apply_adjustment(other, round_trip);
        self.apply_gravity(random);
        if !self.coordinate.is_finite() {
            self.resets = self.resets.saturating_add(1);
            self.coordinate = self.origin.clone();
        }
        Ok(before.distance_to(&self.coordinate).unwrap_or(Duration::MAX))
    }

    /// Forgets a node's last round trips.
    pub fn forget(&mut self, node: &NodeName) {
        self.samples.remove(node);
    }

    /// The round trip to expect to a node at `other`.
    pub fn distance_to(&self, other: &Coordinate) -> Option<Duration> {
        self.coordinate.distance_to(other)
    }

    /// The median of the node's last round trips, this one included.
    fn filtered(&mut self, node: &NodeName, round_trip: f64) -> f64 {
        if !self.samples.contains_key(node) && self.samples.len() >= LATENCY_FILTER_PEERS_MAX {
            return round_trip;
        }
        let samples = self.samples.entry(node.clone()).or_default();
        samples.push_back(round_trip);
        if samples.len() > LATENCY_FILTER_SIZE {
            samples.pop_front();
        }
        let mut sorted: Vec<f64> = samples.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(round_trip)
    }

    fn apply_vivaldi(&mut self, other: &Coordinate, round_trip: f64, random: &mut ChaCha8Rng) {
        let distance = self.coordinate.distance_seconds(other);
        let round_trip = round_trip.max(ZERO_THRESHOLD);
        let wrongness = (distance - round_trip).abs() / round_trip;
        let total_error = (self.coordinate.error + other.error).max(ZERO_THRESHOLD);
        let weight = self.coordinate.error / total_error;
        let error = ERROR_GAIN * weight * wrongness + self.coordinate.error * (1.0 - ERROR_GAIN * weight);
        self.coordinate.error = error.min(ERROR_MAX);
        let force = FORCE_GAIN * weight * (round_trip - distance);
        self.coordinate = self.coordinate.pushed(force, other, random);
    }

    fn apply_adjustment(&mut self, other: &Coordinate, round_trip: f64) {
        if let Some(slot) = self.adjustments.get_mut(self.next_adjustment) {
            *slot = round_trip - self.coordinate.raw_distance(other);
        }
        self.next_adjustment = self.next_adjustment.saturating_add(1) % ADJUSTMENT_WINDOW;
        // Not `sum()`: Rust may start from -0.0, Go starts from 0.
        let sum = self.adjustments.iter().fold(0.0, |sum, sample| sum + sample);
        self.coordinate.adjustment = sum / (2.0 * ADJUSTMENT_WINDOW as f64);
    }

    fn apply_gravity(&mut self, random: &mut ChaCha8Rng) {
        let distance = self.origin.distance_seconds(&self.coordinate);
        let pull = distance / GRAVITY_RHO;
        let force = -(pull * pull);
        self.coordinate = self.coordinate.pushed(force, &self.origin, random);
    }
}

fn difference(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left - right).collect()
}

fn magnitude(vec: &[f64]) -> f64 {
    vec.iter().fold(0.0, |sum, component| sum + component * component).sqrt()
}

/// The direction from `to` to `from` and the distance between them; a random direction and zero where they coincide.
fn unit_vector(from: &[f64], to: &[f64], random: &mut ChaCha8Rng) -> (Vec<f64>, f64) {
    let apart = difference(from, to);
    let distance = magnitude(&apart);
    if distance > ZERO_THRESHOLD {
        return (scaled(&apart, 1.0 / distance), distance);
    }
    let drawn: Vec<f64> = apart.iter().map(|_| unit_interval(random) - 0.5).collect();
    let length = magnitude(&drawn);
    if length > ZERO_THRESHOLD {
        return (scaled(&drawn, 1.0 / length), 0.0);
    }
    let axis = (0..apart.len()).map(|index| if index == 0 { 1.0 } else { 0.0 }).collect();
    (axis, 0.0)
}

fn scaled(vec: &[f64], factor: f64) -> Vec<f64> {
    vec.iter().map(|component| component * factor).collect()
}

/// A number in 0..1 with 53 random bits.
fn unit_interval(random: &mut ChaCha8Rng) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    (random.next_u64() >> 11) as f64 / STEPS
}

/// As Go's `Duration.Seconds`: whole seconds and the rest apart, so that both are exact before they are added.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs() as f64 + f64::from(duration.subsec_nanos()) / NANOSECONDS
}

/// Whole nanoseconds as a duration, if they are one Go could hold (63 bits).
fn duration(nanoseconds: f64) -> Option<Duration> {
    let fits = (0.0..GO_DURATION_END).contains(&nanoseconds);
    fits.then(|| Duration::from_nanos(nanoseconds as u64))
}

/// As Go prints a duration of more than ten seconds.
fn go_seconds(duration: &Duration) -> String {
    let (hours, minutes) = (duration.as_secs() / 3_600, duration.as_secs() / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    let fraction = format!("{:09}", duration.subsec_nanos());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    text.push_str(&format!("{}{point}{fraction}s", duration.as_secs() % 60));
    text
}

fn deserialize_vec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Ok(crate::messages::bounded_list(deserializer, COORDINATE_DIMENSIONS_MAX)?.unwrap_or_default())
}

/// First byte of a ping payload (Go `PingVersion`).
const PING_VERSION: u8 = 1;

// Numbers of Go's `coordinate/config.go`, `DefaultConfig`, and `coordinate.go`.
const DIMENSIONS: usize = 8;
const ERROR_MAX: f64 = 1.5;
/// `VivaldiCE`: how much one sample changes the error.
const ERROR_GAIN: f64 = 0.25;
/// `VivaldiCC`: how much one sample moves the coordinate.
const FORCE_GAIN: f64 = 0.25;
const ADJUSTMENT_WINDOW: usize = 20;
/// Seconds.
const HEIGHT_MIN: f64 = 10.0e-6;
const LATENCY_FILTER_SIZE: usize = 3;
/// `GravityRho`, seconds: how far from the origin it starts to pull.
const GRAVITY_RHO: f64 = 150.0;
/// Distances, errors and round trips below it count as zero.
const ZERO_THRESHOLD: f64 = 1.0e-6;
const NANOSECONDS: f64 = 1.0e9;
/// 2^63, the first nanosecond count that a Go `Duration` cannot hold.
const GO_DURATION_END: f64 = 9_223_372_036_854_775_808.0;

#[cfg(test)]
#[path = "coordinates_tests.rs"]
mod tests;
