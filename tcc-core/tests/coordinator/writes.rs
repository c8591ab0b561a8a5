//! Writes whose answer is lost.
