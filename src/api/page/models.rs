//! The models that one can subscribe to, the first step to a new subscription.

use askama::Template;
use axum::response::Response;

use super::dress::{Trouble, page};
use super::fields::Fields;
use super::form::LANG;
use super::frame::{Frame, Section};
use super::visitor::{Turned, Visitor};

/// A model that one can choose, or why not.
struct ModelChoice {
    model: String,
    label: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "models.html", config = ".askama.toml")]
struct ModelsPage {
    frame: Frame,
    q: String,
    usable: Vec<ModelChoice>,
    refused: Vec<ModelChoice>,
    is_cut: bool,
}

/// The models, by what people or Odoo call them.
pub(super) async fn choose(visitor: &Visitor, query: &Fields) -> Result<Response, Turned> {
    const MOST: usize = 200;
    let (service, operator) = (&visitor.service, visitor.operator());
    let models = service.models(operator).await.map_err(Trouble::from)?;
    let labels = service.model_labels(operator, LANG).await.map_err(Trouble::from)?;
    let q = query.get("q").to_lowercase();
    let mut choices: Vec<ModelChoice> = models
        .into_iter()
        .map(|model| ModelChoice {
            label: labels.get(&model.model).cloned().unwrap_or_default(),
            reason: model.unusable.map(|refusal| refusal.message).unwrap_or_default(),
            model: model.model,
        })
        .filter(|choice| choice.model.to_lowercase().contains(&q) || choice.label.to_lowercase().contains(&q))
        .collect();
    choices.sort_by_key(|choice| (choice.label.to_lowercase(), choice.model.clone()));
    let (mut usable, mut refused): (Vec<_>, Vec<_>) = choices.into_iter().partition(|choice| choice.reason.is_empty());
    let is_cut = usable.len() > MOST || refused.len() > MOST;
    usable.truncate(MOST);
    refused.truncate(MOST);
    Ok(page(&ModelsPage {
        frame: visitor.frame(Section::Subscriptions, "New subscription"),
        q: query.get("q").to_owned(),
        usable,
        refused,
        is_cut,
    })?)
}
