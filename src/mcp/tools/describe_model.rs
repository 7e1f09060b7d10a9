//! `describe_model`.

use rmcp::model::{JsonObject, Tool};
use serde::{Deserialize, Serialize};

use super::schema::{Kind, described, text};
use crate::mcp::answer::{Answer, Said, arguments, object};
use crate::mcp::assistant::Call;
use crate::ops::catalog::FieldInfo;
use crate::ops::error::{Error, Missing};
use crate::subscription::Refusal;

pub(super) const NAME: &str = "describe_model";

/// Names that are told where a model is not there.
const SIMILAR_AT_MOST: usize = 20;

const DESCRIPTION: &str = "Tells which fields an Odoo model has, with their types and where they lead, and which of them changes can be \
watched of; for the others it says why not. Call it before subscribe_events instead of inventing names. A model that is not there is \
answered with names that are like it.";

pub(super) fn tool() -> Tool {
    let arguments = [("model", text("The Odoo model: sale.order, project.task, res.partner."))];
    described(NAME, "Describe a model", DESCRIPTION, Kind::Reads, &arguments, 1)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    model: String,
}

#[derive(Debug, Serialize)]
struct Described {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
    fields: Vec<Usable>,
    not_watched: Vec<NotWatched>,
}

#[derive(Debug, Serialize)]
struct Usable {
    field: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    relation: Option<String>,
}

#[derive(Debug, Serialize)]
struct NotWatched {
    field: String,
    #[serde(rename = "type")]
    kind: &'static str,
    why: String,
}

pub(super) async fn call(call: &Call, given: JsonObject) -> Answer {
    let Wanted { model } = arguments(given)?;
    let service = &call.visitor.service;
    let fields = match Box::pin(service.fields(&call.operator, &model)).await {
        Err(Error::NotFound(Missing::Model(_))) => return Err(similar(call, &model).await?),
        fields => fields?,
    };
    let models = Box::pin(service.models(&call.operator)).await?;
    let unusable = models
        .into_iter()
        .find(|info| info.model == model)
        .and_then(|info| info.unusable);
    let (mut usable, mut not_watched) = (Vec::new(), Vec::new());
    for FieldInfo {
        field,
        kind,
        relation,
        unusable,
        ..
    } in fields
    {
        match unusable {
            None => usable.push(Usable { field, kind, relation }),
            Some(why) => not_watched.push(NotWatched {
                field,
                kind,
                why: sentence(why),
            }),
        }
    }
    Ok(object(&Described {
        model,
        unusable: unusable.map(sentence),
        fields: usable,
        not_watched,
    }))
}

fn sentence(why: Refusal) -> String {
    match why.hint {
        Some(hint) => format!("{} ({hint})", why.message),
        None => why.message,
    }
}

/// Which models there are that share a part of the name.
async fn similar(call: &Call, wanted: &str) -> Result<Said, Said> {
    let parts: Vec<&str> = wanted.split(['.', '_', ' ']).filter(|part| part.len() > 2).collect();
    let models = Box::pin(call.visitor.service.models(&call.operator)).await?;
    let usable = models.into_iter().filter(|info| info.unusable.is_none());
    let names: Vec<String> = usable
        .map(|info| info.model)
        .filter(|name| parts.iter().any(|part| name.contains(part)))
        .take(SIMILAR_AT_MOST)
        .collect();
    let said = format!("there is no model \"{wanted}\"");
    Ok(Said(match names.is_empty() {
        true => format!("{said}\nhint: models are named as Odoo names them: sale.order, res.partner"),
        false => format!("{said}\nhint: there are {}", names.join(", ")),
    }))
}
