//! What the user's code says, read and checked.

mod form;
pub(crate) mod nested;
pub(crate) mod participant;
pub(crate) mod transactional;
