//! The service: the only place where the database and HTTP meet.
//!
//! * [`term`]: who leads. Serves the databases of a process, each on its own ([`term::fleet`]); holds the lead of one and runs the tasks
//!   of one term ([`term::supervisor`]), or delivers beside another process that leads ([`term::assistant`]).
//! * [`upkeep`]: which subscriptions are served. Looks at them ([`upkeep::admission`]), publishes them ([`upkeep::subscription_set`]), and
//!   cleans up ([`upkeep::sweeper`]).
//! * [`dispatch`]: turns the outbox into deliveries ([`dispatch::dispatcher`]), woken by writers ([`dispatch::wake`]).
//! * [`deliver`]: sends them ([`deliver::deliverer`]) and writes what came of it ([`deliver::recorder`]).
//! * [`vitals`]: what comes of it, for `status`, `/readyz` and the metrics.

pub mod deliver;
pub mod dispatch;
pub mod term;
pub mod upkeep;
pub mod vitals;
