//! What the user's code says, read and checked.

mod form;
pub(crate) mod participant;
pub(crate) mod transactional;
