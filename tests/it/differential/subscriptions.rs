//! Random subscriptions to a catalogue's models.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::catalog::{Catalog, Model};
use super::script::{Step, literal};

/// A few for most models; a model that cannot be watched gets one that must be refused.
pub fn random_subscriptions(random: &mut StdRng, catalog: &Catalog) -> Vec<Step> {
    let mut steps = Vec::new();
    for model in &catalog.models {
        if model.refused {
            steps.push(Step::Subscribe {
                sql: format!(
                    "insert into mcp_event_subscription (name, model) values ('refused', {})",
                    literal(&model.model)
                ),
                refused: true,
            });
            continue;
        }
        for _ in 0..[0, 1, 1, 1, 2, 3].choose(random).expect("not empty").to_owned() {
            steps.push(random_subscription(random, model));
        }
    }
    steps
}

/// Another one, or a change of one that there is. Through the service only what takes nothing away: what was not sent yet would be
/// cancelled.
pub fn random_edit(random: &mut StdRng, catalog: &Catalog, takes_away: bool) -> Option<Step> {
    let models: Vec<&Model> = catalog.models.iter().filter(|m| !m.refused).collect();
    let model = models.choose(random)?;
    let change = match random.random_range(0..6) {
        0 if takes_away => "delete from mcp_event_subscription",
        1 if takes_away => "update mcp_event_subscription set active = not active",
        2 if takes_away => "update mcp_event_subscription set fields = '{}'",
        3 if takes_away => {
            "update mcp_event_subscription s set fields = array(select f.name from ir_model_fields f where f.model = s.model and f.store \
             order by md5(f.name) limit 3)"
        }
        _ => return Some(random_subscription(random, model)),
    };
    let offset = random.random_range(0..6);
    let one = "select id from mcp_event_subscription where name is null order by id limit 1";
    Some(Step::Subscribe {
        sql: format!("{change} where id = ({one} offset {offset})"),
        refused: false,
    })
}

fn random_subscription(random: &mut StdRng, model: &Model) -> Step {
    let announced: Vec<&String> = model.fields.iter().chain(&model.links).collect();
    let fields = if random.random_ratio(1, 2) || announced.is_empty() {
        "{}".to_owned()
    } else {
        let count = random.random_range(1..=announced.len().min(5));
        array(&announced.sample(random, count).map(|f| f.as_str()).collect::<Vec<_>>())
    };
    // The values of these are kept whole.
    let simple: Vec<&str> = model
        .sendable
        .iter()
        .filter(|f| is_plain(f))
        .map(String::as_str)
        .collect();
    let payload = if random.random_ratio(1, 3) && !simple.is_empty() {
        let count = random.random_range(1..=simple.len().min(6));
        array(&simple.sample(random, count).copied().collect::<Vec<_>>())
    } else {
        "{}".to_owned()
    };
    let event_type = ["all", "all", "all", "create", "write", "unlink"]
        .choose(random)
        .expect("not empty");
    Step::Subscribe {
        sql: format!(
            "insert into mcp_event_subscription (model, event_type, fields, payload_fields) values ({}, '{event_type}', {}, {})",
            literal(&model.model),
            literal(&fields),
            literal(&payload)
        ),
        refused: false,
    }
}

/// Names that a path of a payload can hold.
fn is_plain(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// An array as PostgreSQL reads it.
fn array(elements: &[&str]) -> String {
    let quoted: Vec<String> = elements
        .iter()
        .map(|e| format!("\"{}\"", e.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!("{{{}}}", quoted.join(","))
}
