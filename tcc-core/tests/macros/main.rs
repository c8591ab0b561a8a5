//! What the macros write, compiled and run: the forms that users write, and names that they may have taken.

mod hostile;
mod hostile_traits;
mod participants;
mod registrations;
mod traits;
mod transactions;
mod upcasts;
