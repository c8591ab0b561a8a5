//! Every setting and every limit: at its bounds, one beyond, and at the ends of all numbers.

mod settings;
mod sizes;
