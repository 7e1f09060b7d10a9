//! Makes the bodies of deliveries: reads the values they carry and renders them.
//!
//! The reading is done for all deliveries of a subscription in a batch at once, so that its statements depend on the paths asked
//! for and not on how many records there are. Values that cannot be held together are read for fewer deliveries at a time; those of one
//! delivery that cannot be held at all are left out, and its body says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::pg::GenericClient;

use crate::delivery::Failure;
use crate::matching::Assembled;
use crate::payload::body::{Body, Record};
use crate::payload::content::{Cut, Unsendable};
use crate::payload::fill::{Filler, Loaded, LoadedLevel, Row, Subject, linked};
use crate::payload::plan::{Filter, Plan, Via};
use crate::pg;
use crate::pg::domain::judge::{ImageColumns, Judge};
use crate::pg::sqlstate::OF_THE_DATA;
use crate::{Error, Result};

/// Records whose values are read together at most.
const READ_AT_ONCE: usize = 2_000;

/// After so many templates of a subscription that used up their budget, the rest of the batch is not tried: the others wait for it.
const MOST_EXHAUSTED: usize = 10;

/// A delivery with what is to be sent.
#[derive(Debug)]
pub struct Made {
    /// The delivery.
    pub delivery: Assembled,
    /// Its body, or why there is none.
    pub body: std::result::Result<String, Unsendable>,
    /// Its records' values could not be read at all: the subscription needs a person.
    pub unreadable: Option<String>,
}

/// A delivery on its way.
struct Filled {
    delivery: Assembled,
    records: Option<Vec<Record>>,
    cut: Option<Cut>,
    unreadable: Option<String>,
}

/// Makes the bodies, in the order of the deliveries. Records that are not changed but sent as they are
/// ([`Subject::now`]) come out as they are in the database.
///
/// # Errors
/// Database errors but those that lie in what a subscription reads; these end in [`Made::unreadable`].
pub async fn make(client: &impl GenericClient, deliveries: Vec<Assembled>) -> Result<Vec<Made>> {
    let mut by_subscription: BTreeMap<i32, Vec<(usize, Assembled)>> = BTreeMap::new();
    let count = deliveries.len();
    for (index, delivery) in deliveries.into_iter().enumerate() {
        by_subscription
            .entry(delivery.subscription.row.id)
            .or_default()
            .push((index, delivery));
    }
    let mut made: Vec<Option<Made>> = std::iter::repeat_with(|| None).take(count).collect();
    for deliveries in by_subscription.into_values() {
        let mut exhausted = 0;
        for group in groups(deliveries) {
            for (indices, filled) in fill(client, group).await? {
                let (rendered, now_exhausted) = render(filled, exhausted).await?;
                exhausted = now_exhausted;
                for (index, one) in indices.into_iter().zip(rendered) {
                    made[index] = Some(one);
                }
            }
        }
    }
    Ok(made.into_iter().flatten().collect())
}

type Numbered = Vec<(usize, Assembled)>;

/// Cuts a subscription's deliveries into pieces that are read together.
fn groups(deliveries: Numbered) -> Vec<Numbered> {
    let mut groups: Vec<Numbered> = Vec::new();
    let mut records = 0;
    for (index, delivery) in deliveries {
        records += delivery.subjects.len();
        match groups.last_mut() {
            Some(group) if records <= READ_AT_ONCE => group.push((index, delivery)),
            _ => {
                records = delivery.subjects.len();
                groups.push(vec![(index, delivery)]);
            }
        }
    }
    groups
}

/// Reads the values of a group; in several goes where they are too large to be held together.
async fn fill(client: &impl GenericClient, group: Numbered) -> Result<Vec<(Vec<usize>, Vec<Filled>)>> {
    let mut filled = Vec::new();
    let (cut, group): (Numbered, Numbered) = group
        .into_iter()
        .partition(|(_, delivery)| delivery.subjects.iter().any(|subject| subject.is_cut));
    if !cut.is_empty() {
        filled.push(without_values(cut, Some(Cut::TooLarge), None));
    }
    let mut waiting = vec![group];
    waiting.retain(|group| !group.is_empty());
    while let Some(mut group) = waiting.pop() {
        let plan = group.first().and_then(|(_, d)| d.subscription.content.plan.clone());
        let Some(plan) = plan else {
            filled.push(without_values(group, None, None));
            continue;
        };
        let subjects: Vec<&Subject> = group.iter().flat_map(|(_, d)| &d.subjects).collect();
        match load(client, &plan, &subjects).await {
            Ok(Some(loaded)) => filled.push(with_values(group, &plan, &loaded)),
            Ok(None) if group.len() > 1 => {
                let rest = group.split_off(group.len() / 2);
                waiting.extend([rest, group]);
            }
            Ok(None) => filled.push(without_values(group, Some(Cut::TooLarge), None)),
            Err(error) if error.means(OF_THE_DATA) => {
                filled.push(without_values(group, Some(Cut::Unreadable), Some(error.chain())));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn without_values(group: Numbered, cut: Option<Cut>, unreadable: Option<String>) -> (Vec<usize>, Vec<Filled>) {
    let filled = group.into_iter().map(|(index, delivery)| {
        let filled = Filled {
            delivery,
            records: None,
            cut,
            unreadable: unreadable.clone(),
        };
        (index, filled)
    });
    filled.unzip()
}

fn with_values(group: Numbered, plan: &Plan, loaded: &Loaded) -> (Vec<usize>, Vec<Filled>) {
    let filler = Filler { plan, loaded };
    let filled = group.into_iter().map(|(index, mut delivery)| {
        let records = std::mem::take(&mut delivery.subjects)
            .into_iter()
            .map(|subject| {
                let (values, mut old) = filler.values(&subject);
                // A template that speaks of an old value gets it in any case.
                if let Some(old) = old.as_mut().filter(|_| !delivery.subscription.content.is_per_record()) {
                    filler.drop_same(&subject, &values, old);
                }
                Record {
                    id: subject.id,
                    user_id: subject.user_id.filter(|_| delivery.has_several_users).map(i64::from),
                    values,
                    old,
                }
            })
            .collect();
        let filled = Filled {
            delivery,
            records: Some(records),
            cut: None,
            unreadable: None,
        };
        (index, filled)
    });
    filled.unzip()
}

/// Renders what was filled; the number of templates that used up their budget goes in and comes out.
async fn render(filled: Vec<Filled>, exhausted: usize) -> Result<(Vec<Made>, usize)> {
    let takes_long = filled
        .first()
        .is_some_and(|f| f.delivery.subscription.content.is_per_record());
    let work = move || {
        let mut exhausted = exhausted;
        let made = filled.into_iter().map(|one| render_one(one, &mut exhausted)).collect();
        (made, exhausted)
    };
    if !takes_long {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::other("rendering a payload ended early").with_source(e))
}

fn render_one(filled: Filled, exhausted: &mut usize) -> Made {
    let Filled {
        delivery,
        records,
        cut,
        unreadable,
    } = filled;
    let subscription = Arc::clone(&delivery.subscription);
    let row = &subscription.row;
    let body = if *exhausted >= MOST_EXHAUSTED {
        Err(Unsendable {
            failure: Failure::Template,
            detail: format!("not tried: {MOST_EXHAUSTED} others of the same batch used up the template's budget"),
            is_exhausted: false,
        })
    } else {
        let body = Body {
            event_id: delivery.event_id,
            model: &row.model,
            event_type: delivery.event_type.as_str(),
            record_ids: &delivery.record_ids,
            user_id: delivery.user_id.map(i64::from),
            timestamp: delivery.at,
            database: &delivery.database,
            subscription_id: i64::from(row.id),
            changed_fields: &delivery.changed,
            records,
        };
        subscription.content.render(&body, row.name.as_deref(), cut)
    };
    *exhausted += usize::from(body.as_ref().is_err_and(|reason| reason.is_exhausted));
    Made {
        delivery,
        // JSON and XML are UTF-8 as they were written.
        body: body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        unreadable,
    }
}

/// Reads what a plan asks for. None when it is more than can be held at once.
async fn load(client: &impl GenericClient, plan: &Plan, subjects: &[&Subject]) -> Result<Option<Loaded>> {
    let mut loaded = Loaded::default();
    // The event's own records: what capture does not hold of them.
    let has_late = plan.levels[0].columns.iter().any(|column| column.is_read_late());
    let unknown: BTreeSet<i64> = subjects
        .iter()
        .filter(|subject| !subject.is_gone && (has_late || subject.captured.is_none()))
        .map(|subject| subject.id)
        .collect();
    let Some(own) = read(client, plan, 0, &unknown).await? else {
        return Ok(None);
    };
    loaded.levels.push(LoadedLevel {
        rows: own,
        lines: HashMap::new(),
    });
    let filler = Filler { plan, loaded: &loaded };
    let after: Vec<Option<Row>> = subjects.iter().map(|subject| filler.row_of(subject)).collect();
    let own_rows: Vec<&Row> = after
        .iter()
        .flatten()
        .chain(subjects.iter().filter_map(|s| s.before.as_ref().map(|(row, _)| row)))
        .collect();
    let own_ids: BTreeSet<i64> = subjects.iter().filter(|s| !s.is_gone).map(|s| s.id).collect();
    for level in 1..plan.levels.len() {
        let next = match &plan.levels[level].via {
            Via::Event => LoadedLevel::default(),
            Via::Link { from, .. } => {
                let from_rows: Vec<&Row> = match from {
                    0 => own_rows.clone(),
                    // Also what a parent linked to in the event.
                    from => {
                        let parents = subjects
                            .iter()
                            .flat_map(|s| s.parents.before.iter().chain(&s.parents.after));
                        let parents = parents.filter(|parent| parent.level == *from).map(|parent| &parent.row);
                        loaded.levels[*from].rows.values().chain(parents).collect()
                    }
                };
                let ids = from_rows
                    .into_iter()
                    .filter_map(|row| linked(plan, level, row))
                    .collect();
                let Some(rows) = read(client, plan, level, &ids).await? else {
                    return Ok(None);
                };
                LoadedLevel {
                    rows,
                    lines: HashMap::new(),
                }
            }
            Via::Lines { from, .. } => {
                let ids: Vec<i64> = match from {
                    0 => own_ids.iter().copied().collect(),
                    from => loaded.levels[*from].rows.keys().copied().collect(),
                };
                match load_lines(client, plan, level, &ids).await? {
                    Some(lines) => lines,
                    None => return Ok(None),
                }
            }
        };
        loaded.levels.push(next);
    }
    Ok(Some(loaded))
}

async fn read(
    client: &impl GenericClient,
    plan: &Plan,
    level: usize,
    ids: &BTreeSet<i64>,
) -> Result<Option<HashMap<i64, Row>>> {
    if ids.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    let ids: Vec<i64> = ids.iter().copied().collect();
    let level = &plan.levels[level];
    let columns: Vec<&str> = level.columns.iter().map(|column| column.name.as_str()).collect();
    pg::records::read(client, &level.model, &ids, &columns, plan.company).await
}

/// Reads what an x2many field lists.
async fn load_lines(
    client: &impl GenericClient,
    plan: &Plan,
    level: usize,
    ids: &[i64],
) -> Result<Option<LoadedLevel>> {
    let Via::Lines {
        from,
        field,
        model_column,
        with_archived,
        filter,
    } = &plan.levels[level].via
    else {
        return Ok(Some(LoadedLevel::default()));
    };
    if ids.is_empty() {
        return Ok(Some(LoadedLevel::default()));
    }
    let of_field = pg::records::Lines {
        model: &plan.levels[*from].model,
        field,
        model_column: model_column.as_deref(),
        with_archived: *with_archived,
        lang: &plan.lang,
    };
    let Some(mut lines) = pg::records::related(client, of_field, ids).await? else {
        return Ok(None);
    };
    let listed: BTreeSet<i64> = lines.values().flatten().copied().collect();
    let mut rows = if plan.levels[level].columns.is_empty() {
        listed.iter().map(|id| (*id, Row::new())).collect()
    } else {
        match read(client, plan, level, &listed).await? {
            Some(rows) => rows,
            None => return Ok(None),
        }
    };
    if let Some(filter) = filter {
        keep_shown(client, filter, &mut rows).await?;
    }
    for ids in lines.values_mut() {
        ids.retain(|id| rows.contains_key(id));
    }
    Ok(Some(LoadedLevel { rows, lines }))
}

/// Keeps the records that the field's own domain lists.
async fn keep_shown(client: &impl GenericClient, filter: &Filter, rows: &mut HashMap<i64, Row>) -> Result<()> {
    let ids: Vec<i64> = rows.keys().copied().collect();
    let columns: ImageColumns = filter
        .columns
        .iter()
        .map(|place| {
            let value = |id: &i64| match place {
                None => Some(id.to_string()),
                Some(place) => rows.get(id).and_then(|row| row.get(*place).cloned().flatten()),
            };
            ids.iter().map(value).collect()
        })
        .collect();
    let judge = Judge::of_one(&filter.domain, filter.images.clone());
    let shown = pg::domain::ask::judge(client, &judge, ids.len(), &columns).await?;
    for (id, found) in ids.iter().zip(shown) {
        if found.is_empty() {
            rows.remove(id);
        }
    }
    Ok(())
}
