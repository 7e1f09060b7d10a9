//! Whether the service may read what subscriptions look at beside the changed records: asked before the first event finds out.
//!
//! Asked of many at once: domains of one model go together, as they do when they judge an event, and what several payloads read alike is
//! tried once. Only where the answer is no is each asked alone, so that the reason stands with whom it concerns.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::pg::Client;

use crate::odoo::registry::Registry;
use crate::payload::plan::{Filter, Level, Via};
use crate::pg::domain::ask;
use crate::pg::domain::judge::Judge;
use crate::pg::sqlstate::{DENIED, OF_THE_NAMES};
use crate::pg::{operations, records};
use crate::subscription::ResolvedSubscription;
use crate::subscription::choices::State;
use crate::{Error, Result};

/// Domains in one statement: few enough to be planned in a blink, and to be asked one by one where some of them may not be read.
const TOGETHER: usize = 100;

/// Those of these subscriptions that need what may not be read, each with the reason.
///
/// # Errors
/// Database errors that no subscription is the reason of.
pub(in crate::worker) async fn refusals<'s>(
    client: &Client,
    subscriptions: impl Iterator<Item = &'s ResolvedSubscription> + Clone,
    registry: &Registry,
) -> Result<HashMap<i32, Error>> {
    let mut refused = HashMap::new();
    let mut related: BTreeMap<&str, Vec<&ResolvedSubscription>> = BTreeMap::new();
    for subscription in subscriptions.clone() {
        if subscription
            .domain
            .as_ref()
            .is_some_and(|domain| domain.reads_related())
        {
            related.entry(&subscription.row.model).or_default().push(subscription);
        }
    }
    for of_model in related.values() {
        for some in of_model.chunks(TOGETHER) {
            if some.len() > 1 && can_be_judged(client, some, registry).await.is_ok() {
                continue;
            }
            for subscription in some {
                refused.extend(refusal(
                    subscription,
                    domain_refusal(client, subscription, registry).await,
                )?);
            }
        }
    }
    // Statements that were tried, and may be read.
    let mut tried = HashSet::new();
    for subscription in subscriptions {
        if !refused.contains_key(&subscription.row.id) {
            let values = values_refusal(client, subscription, &mut tried).await;
            refused.extend(refusal(subscription, values)?);
        }
    }
    Ok(refused)
}

/// What came of asking for one: a statement that it alone asks for and that fails is a reason as well.
fn refusal(subscription: &ResolvedSubscription, asked: Result<Option<Error>>) -> Result<Option<(i32, Error)>> {
    let refusal = match asked {
        Err(error) if error.is_of_the_statement() => Some(error),
        asked => asked?,
    };
    Ok(refusal.map(|refusal| (subscription.row.id, refusal)))
}

async fn can_be_judged(client: &Client, subscriptions: &[&ResolvedSubscription], registry: &Registry) -> Result<()> {
    let domains: Vec<_> = subscriptions
        .iter()
        .filter_map(|s| s.domain.as_ref().map(|domain| (i64::from(s.row.id), domain)))
        .collect();
    ask::rehearse(client, &Judge::new(&domains, registry)?).await
}

/// A domain that looks at other records needs the right to read them; without it every batch would fail.
async fn domain_refusal(
    client: &Client,
    subscription: &ResolvedSubscription,
    registry: &Registry,
) -> Result<Option<Error>> {
    match can_be_judged(client, &[subscription], registry).await {
        Ok(()) => Ok(None),
        // Somebody is altering a table: whether it may be read shows at the first event.
        Err(error) if error.is_lock_timeout() => Ok(None),
        Err(error) if error.means(DENIED) => Ok(Some(
            Error::usage("the domain looks at other records, which the service may not read")
                .with_source(error)
                .with_hint(how_to_read(client).await?),
        )),
        Err(error) => Err(error),
    }
}

/// The fields of a payload are read by a function with rights of its own, which knows what may be read.
async fn values_refusal(
    client: &Client,
    subscription: &ResolvedSubscription,
    tried: &mut HashSet<String>,
) -> Result<Option<Error>> {
    let Some(plan) = &subscription.content.plan else {
        return Ok(None);
    };
    if subscription.row.state == Some(State::Ready) && subscription.is_recorded() {
        return Ok(None);
    }
    for level in &plan.levels {
        let read = what_is_read(level);
        if tried.contains(&read) {
            continue;
        }
        // What an x2many field lists may depend on other records.
        if let Via::Lines {
            filter: Some(filter), ..
        } = &level.via
            && let Err(error) = ask::rehearse(client, &judge_of(filter)).await
            && !error.is_lock_timeout()
        {
            if !error.means(DENIED) {
                return Err(error);
            }
            return Ok(Some(
                Error::usage("a list of the payload depends on other records, which the service may not read")
                    .with_source(error)
                    .with_hint(how_to_read(client).await?),
            ));
        }
        match records::rehearse(client, level).await {
            Err(error) if error.means(OF_THE_NAMES) => {
                return Ok(Some(
                    Error::usage("the fields of the payload may not be read").with_source(error),
                ));
            }
            // As above.
            Err(error) if error.is_lock_timeout() => {}
            rehearsed => rehearsed?,
        }
        tried.insert(read);
    }
    Ok(None)
}

fn judge_of(filter: &Filter) -> Judge {
    Judge::of_one(&filter.domain, filter.images.clone())
}

/// All that decides whether a level may be read.
fn what_is_read(level: &Level) -> String {
    let mut read = level.model.clone();
    for column in &level.columns {
        read.push(' ');
        read.push_str(&column.name);
    }
    if let Via::Lines {
        filter: Some(filter), ..
    } = &level.via
    {
        for chunk in judge_of(filter).chunks() {
            read.push('\n');
            read.push_str(chunk.sql());
        }
    }
    read
}

/// The statement that lets this session's role read what domains look at.
async fn how_to_read(client: &Client) -> Result<String> {
    let (role, version) = operations::role_and_version(client).await?;
    Ok(match version {
        // The role came with PostgreSQL 14.
        140_000.. => format!(
            "as a superuser: GRANT pg_read_all_data TO {role}; it then reads every table of the cluster. Or use stored fields of \
             the model itself"
        ),
        _ => format!(
            "PostgreSQL before 14 has no pg_read_all_data: grant {role} SELECT on the tables named here, or run the \
             service as the owner of Odoo's tables, or use stored fields of the model itself"
        ),
    })
}
