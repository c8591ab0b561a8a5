//! What the user's code says, read and checked.

pub(crate) mod participant;
pub(crate) mod transactional;
