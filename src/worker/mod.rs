//! The service: the only place where the database and HTTP meet.
//!
//! [`fleet`] serves the databases of a process, each on its own; [`board`] tells how they do. [`supervisor`] holds the lead of one and
//! runs the tasks of one term: [`keeper`] has subscriptions looked at ([`admission`], `readable`, [`known`]) and publishes them ([`roster`]; `behind` tells what can be matched with one that is older than an edit), [`dispatcher`] turns the outbox into deliveries (`derive` brings it
//! what showed in other tables, [`judging`] asks the domains, [`bodies`] makes what is carried, [`feeding`] what readers get; [`feed_tender`] keeps that within its limits), [`deliverer`] sends them, [`recorder`]
//! writes what came of it, [`sweeper`] cleans up, [`listener`] holds the lead and [`monitor`] takes the pulse; an [`assistant`] delivers
//! beside another process that leads; [`vitals`] is what comes of it. [`wake`] is the doorbell between writers and the dispatcher;
//! [`begun`] tells what was sent from what was only claimed, when a term ends in between, and [`reached`] that the database has
//! forgotten what was committed.

pub mod admission;
mod answers;
pub mod assistant;
pub mod begun;
pub mod behind;
pub mod board;
pub mod bodies;
pub mod callbacks;
pub mod deliverer;
mod derive;
pub mod dispatcher;
pub mod feed_tender;
pub mod feeding;
pub mod fleet;
pub mod judging;
pub mod keeper;
pub mod known;
pub mod large;
pub mod listener;
pub mod monitor;
mod parents;
pub mod process;
pub mod quarantine;
pub mod reached;
mod readable;
pub mod recorder;
pub mod request;
pub mod retention;
pub mod roster;
pub mod secrets;
mod sent_away;
pub mod slots;
pub mod supervisor;
pub mod sweeper;
pub mod tally;
pub mod vitals;
pub mod waiting;
pub mod wake;
