//! The service: the only place where the database and HTTP meet.
//!
//! [`supervisor`] holds the lead and runs the tasks of one term: [`roster`] keeps the subscriptions, [`dispatcher`] turns the outbox
//! into deliveries (`derive` brings it what showed in other tables), [`bodies`] makes what they carry, [`deliverer`] sends them,
//! [`sweeper`] cleans up. [`wake`] is the doorbell between writers and the dispatcher.

pub mod bodies;
pub mod callbacks;
pub mod deliverer;
mod derive;
pub mod dispatcher;
pub mod fleet;
pub mod large;
mod parents;
pub mod process;
pub mod quarantine;
pub mod request;
pub mod roster;
pub mod secrets;
pub mod slots;
pub mod supervisor;
pub mod sweeper;
pub mod tally;
pub mod wake;
