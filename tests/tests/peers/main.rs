//! The faults of PEERS.md that need real servers, several crates or several processes: each by its number. The others are
//! tested where their subject lives; `tests/PEERS.md` has all of them, and `table` holds it to what there is.

mod fence;
mod payloads;
mod redis;
mod rig;
mod scan;
mod table;
