//! The coordinator on the memory store and on paused time.

mod alerts;
mod blocking;
mod carried;
mod closing;
mod crowds;
mod deploys;
mod keys;
mod life;
mod operator;
mod pace;
mod payloads;
mod retention;
mod rig;
mod said;
mod settling;
mod storm;
mod together;
mod trace;
mod tries;
mod writes;
