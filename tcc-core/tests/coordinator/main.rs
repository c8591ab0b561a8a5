//! The coordinator on the memory store and on paused time.

mod crowds;
mod keys;
mod life;
mod operator;
mod rig;
mod settling;
