//! Tests of the group as a whole. They stand inside the crate, because they put another network, another disk and another
//! runtime under it than users may.

mod backups;
mod bounds;
mod cables;
mod damage;
mod disk;
pub(crate) mod edges;
mod exchanged;
mod histories;
mod hostile;
mod net;
mod retiming;
mod segments;
mod simulation;
mod stalls;
mod walking;
mod world;
