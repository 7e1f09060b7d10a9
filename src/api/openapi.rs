//! The document of all routes, OpenAPI 3.1, made from the code: a route is in it because it is routed.
//!
//! What every route answers alike, the problems and their headers, is added here and not written beside each.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterStyle, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::layers::Mount;
use super::problem::{Fault, PROBLEM_JSON, Problem};
use super::{Shared, page, restapi, v1};
use crate::ops::deliveries::read::Status;
use crate::ops::subscriptions::read::ListedState;
use crate::subscription::choices::CreatedFrom;

/// Where the document is.
pub const PATH: &str = "/api/v1/openapi.json";

/// All routes of a database.
pub fn routes(shared: &Arc<Shared>) -> Router {
    let (mut router, document) = documented();
    if shared.settings.ui {
        router = router.merge(page::routes());
    }
    router
        .fallback(async || Problem::not_found("there is nothing here; what there is, is in openapi.json"))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(Arc::new(document)))
        .with_state(Arc::clone(shared))
}

/// The same without what they share, and the document.
pub fn documented() -> (Router<Arc<Shared>>, OpenApi) {
    let own = OpenApiRouter::new().routes(routes!(document));
    let all = OpenApiRouter::with_openapi(about())
        .nest("/api/v1", v1::routes().merge(own))
        .nest(restapi::BASE, restapi::routes())
        .nest("/webhook", v1::dashboard::documented());
    let (router, mut document) = all.split_for_parts();
    complete(&mut document);
    (router, document)
}

/// The document of this API, OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", security(()),
    responses((status = 200, description = "The document", body = inline(std::collections::BTreeMap<String, serde_json::Value>))))]
async fn document(
    State(shared): State<Arc<Shared>>,
    Extension(mount): Extension<Mount>,
    Extension(document): Extension<Arc<OpenApi>>,
) -> impl IntoResponse {
    let root = shared.root(&mount);
    let url = if root.is_empty() { "/".to_owned() } else { root };
    let mut document = OpenApi::clone(&document);
    document.servers = Some(vec![ServerBuilder::new().url(url).build()]);
    (
        [(CONTENT_TYPE, "application/json")],
        serde_json::to_vec(&document).unwrap_or_default(),
    )
}

async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

fn about() -> OpenApi {
    let info = InfoBuilder::new()
        .title("odoo-eventd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Subscriptions to the changes of an Odoo database's records, and their deliveries. Tokens are made with `odoo-eventd token \
             create`. Odoo's record rules do not apply to what a database trigger tells.",
        ));
    OpenApiBuilder::new().info(info).build()
}

/// Adds what all have alike.
fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".to_owned(), Problem::schema());
    let mut schemas = vec![(Fault::name().into_owned(), Fault::schema())];
    Problem::schemas(&mut schemas);
    // Those that only parameters name.
    schemas.push((ListedState::name().into_owned(), ListedState::schema()));
    schemas.push((Status::name().into_owned(), Status::schema()));
    schemas.push((CreatedFrom::name().into_owned(), CreatedFrom::schema()));
    components.schemas.extend(schemas);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("oet_..")
        .description(Some(
            "A token of `odoo-eventd token create`; the scopes are those that an operation needs",
        ))
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(operation_id(method, path));
            separate_by_commas(operation);
            add_problems(path, operation);
        }
    }
    add_links(document);
}

/// What was made or listed leads to what can be done with it.
fn add_links(document: &mut OpenApi) {
    let places: Vec<(&str, String)> = document
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| {
            let of =
                ["get", "post", "patch", "delete"]
                    .into_iter()
                    .zip([&item.get, &item.post, &item.patch, &item.delete]);
            let ids = of.filter_map(|(method, operation)| operation.as_ref().map(|_| operation_id(method, path)));
            let variable = if path.contains("/subscriptions/{id}") {
                Some("id")
            } else if path.contains("{delivery_id}") {
                Some("delivery_id")
            } else {
                None
            };
            ids.filter_map(move |id| Some((variable?, id)))
        })
        .collect();
    let mut link =
        |path: &str, method: fn(&mut PathItem) -> &mut Option<Operation>, status: &str, variable: &str, from: &str| {
            let operation = document
                .paths
                .paths
                .get_mut(path)
                .and_then(|item| method(item).as_mut());
            let Some(RefOr::T(response)) =
                operation.and_then(|operation| operation.responses.responses.get_mut(status))
            else {
                return;
            };
            for (_, id) in places.iter().filter(|(of, _)| *of == variable) {
                let link = LinkBuilder::new().operation_id(id).parameter(variable, from).build();
                response.links.insert(id.clone(), link.into());
            }
        };
    link(
        "/api/v1/subscriptions",
        |item| &mut item.post,
        "201",
        "id",
        "$response.body#/id",
    );
    link(
        "/api/v1/deliveries",
        |item| &mut item.get,
        "200",
        "delivery_id",
        "$response.body#/items/0/delivery_id",
    );
}

/// Lists in a query are one parameter with commas in between.
fn separate_by_commas(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(RefOr::T(Schema::Array(_))) = parameter.schema
        {
            parameter.style = Some(ParameterStyle::Form);
            parameter.explode = Some(false);
        }
    }
}

/// A name for programs that are made from the document: of no two operations the same.
fn operation_id(method: &str, path: &str) -> String {
    let own = path.strip_prefix("/api/v1").unwrap_or(path);
    let words = own
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

/// The problems that an operation may answer.
fn add_problems(path: &str, operation: &mut Operation) {
    if path == PATH {
        return;
    }
    if path.starts_with(restapi::BASE) {
        return add_documented(operation);
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has = |name: &str| {
        let is_it =
            |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.name.eq_ignore_ascii_case(name));
        parameters.iter().any(is_it)
    };
    let (has_body, has_id) = (
        operation.request_body.is_some(),
        path.contains('{') || has("subscription") && path.ends_with("/events"),
    );
    let (is_conditional, has_key) = (has("If-Match"), has("Idempotency-Key"));
    let mut problems = vec![
        (400, "It cannot be read"),
        (401, "There is no token, or not one that lets anybody in"),
        (403, "The token has not the scope that this needs"),
        (422, "It was refused"),
        (429, "Too many requests with this token"),
        (503, "The database cannot do it now"),
    ];
    if has_id {
        problems.push((404, "There is none, or not for this token"));
    }
    if has_body {
        problems.extend([
            (408, "The body did not come in time"),
            (413, "The body is larger than 1 MiB"),
            (415, "The body is not JSON"),
        ]);
    }
    if is_conditional {
        problems.push((412, "It is another version"));
    }
    let acts = ["/test", "/redeliver"].iter().any(|act| path.ends_with(act));
    if has_key || acts {
        problems.push((
            409,
            "The first request with this key is under way, or this database is a copy that must not deliver",
        ));
    }
    for (status, description) in problems {
        operation
            .responses
            .responses
            .insert(status.to_string(), problem(status, description).into());
    }
}

/// Those that document 003 knows; its errors may be XML.
fn add_documented(operation: &mut Operation) {
    for (status, description) in [
        (401, "There is no token, or not one that lets anybody in"),
        (403, "It was refused, or the token has not the scope that this needs"),
        (404, "There is none, or not for this token"),
        (408, "The body did not come in time"),
        (413, "The body is larger than 1 MiB"),
        (429, "Too many requests with this token"),
        (503, "The database cannot do it now"),
    ] {
        let mut response = problem(status, description);
        let text = Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
        response
            .content
            .insert(crate::payload::xml::CONTENT_TYPE.to_owned(), text.into());
        operation
            .responses
            .responses
            .insert(status.to_string(), response.into());
    }
}

fn problem(status: u16, description: &str) -> Response {
    let mut response = ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, Content::new(Some(Ref::from_schema_name("Problem"))));
    let header = |kind, description: &str| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(kind)))
            .description(Some(description))
            .build()
    };
    if matches!(status, 429 | 503) {
        response = response.header(
            "Retry-After",
            header(Type::Integer, "After so many seconds it may succeed"),
        );
    }
    if status == 401 {
        response = response.header("WWW-Authenticate", header(Type::String, "What is wanted"));
    }
    response.build()
}
