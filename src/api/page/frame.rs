//! What is around each page: where one is, who one is, and what was just done.

use super::assets;
use super::visitor::Visitor;
use crate::ops::operator::Scope;

/// Which part of the menu a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Subscriptions and their form.
    Subscriptions,
    /// Deliveries.
    Deliveries,
    /// Figures.
    Dashboard,
    /// What is wrong.
    Health,
}

/// What somebody may do: which buttons there are.
#[derive(Debug, Clone, Copy)]
pub struct May {
    /// See subscriptions.
    pub see: bool,
    /// Make and change them.
    pub write: bool,
    /// See deliveries.
    pub see_deliveries: bool,
    /// Send deliveries once more.
    pub redeliver: bool,
}

/// See the [module documentation](self).
#[derive(Debug, Clone)]
pub struct Frame {
    /// Where the pages of this database lie.
    pub base: String,
    /// What the page is called.
    pub title: String,
    /// Where in the menu it is.
    pub here: Section,
    /// His token's name, and his user's login.
    pub who: String,
    /// What his forms have to say.
    pub form_token: String,
    /// What he may do.
    pub may: May,
    /// What was just done.
    pub notice: Option<String>,
    /// Which version of the style sheet and the script.
    pub assets: &'static str,
}

impl Frame {
    /// That of a page of this visitor's.
    pub fn of(visitor: &Visitor, here: Section, title: String) -> Self {
        let query = visitor.query();
        let name = &visitor.visit.name;
        Self {
            base: visitor.base.clone(),
            title,
            here,
            who: match &visitor.visit.user {
                Some(user) => format!("{user} · {name}"),
                None => name.clone(),
            },
            form_token: visitor.key.form_token(),
            may: May {
                see: visitor.may(Scope::SubscriptionsRead),
                write: visitor.may(Scope::SubscriptionsWrite),
                see_deliveries: visitor.may(Scope::DeliveriesRead),
                redeliver: visitor.may(Scope::DeliveriesRedeliver),
            },
            notice: notice(query.get("done"), query.parsed("n").unwrap_or(1)),
            assets: assets::version(),
        }
    }

    /// Whether this part of the menu is the page's.
    pub fn is_in(&self, section: Section) -> bool {
        self.here == section
    }
}

/// What was done, in a sentence; the word is in the address that one is sent to afterwards.
fn notice(done: &str, n: usize) -> Option<String> {
    let text = match done {
        "saved" => "Saved.",
        "made" => "The subscription is there. No change from now on is missed.",
        "activated" => "It is active.",
        "deactivated" => "It is inactive and kept for audit. Deliveries that were not sent are cancelled.",
        "paused" => "It is paused: deliveries wait.",
        "resumed" => "Deliveries go on.",
        "enabled" => "The endpoint is used again.",
        "deleted" => "It is deleted. The log of its deliveries stays.",
        "redelivered" if n == 1 => "The delivery is sent once more, under the same id.",
        "redelivered" => return Some(format!("{n} deliveries are sent once more, under the same ids.")),
        "bulk" => return Some(format!("{n} subscriptions were changed.")),
        "out" => "You are logged out, in every tab.",
        _ => return None,
    };
    Some(text.to_owned())
}
