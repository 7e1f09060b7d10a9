//! The values that the program knows of a closed column are those that the table takes.

use odoo_eventd::subscription::choices::{
    BodyFormat, CreatedFrom, EndpointSource, Grouping, HttpMethod, State, TriggerMode, WantedEvents,
};

use crate::support::Database;
use crate::support::service::eventd_ok;

#[tokio::test]
async fn a_closed_column_takes_the_values_that_the_program_knows_and_no_other() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let taken = "select string_agg(m[1], ',' order by m[1])
                   from pg_constraint c
                   join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
                  cross join regexp_matches(pg_get_constraintdef(c.oid), '''(\\w+)''::text', 'g') m
                  where c.conrelid = 'mcp_event_subscription'::regclass and c.conname like '%_is_known' and a.attname = $1";
    let client = database.client().await;
    let known = |values: Vec<&'static str>| {
        let mut values = values;
        values.sort_unstable();
        values.join(",")
    };
    for (column, values) in [
        (
            WantedEvents::COLUMN,
            known(WantedEvents::ALL.iter().map(|v| v.as_str()).collect()),
        ),
        (
            TriggerMode::COLUMN,
            known(TriggerMode::ALL.iter().map(|v| v.as_str()).collect()),
        ),
        (
            CreatedFrom::COLUMN,
            known(CreatedFrom::ALL.iter().map(|v| v.as_str()).collect()),
        ),
        (
            EndpointSource::COLUMN,
            known(EndpointSource::ALL.iter().map(|v| v.as_str()).collect()),
        ),
        (
            HttpMethod::COLUMN,
            known(HttpMethod::ALL.iter().map(|v| v.as_str()).collect()),
        ),
        (
            BodyFormat::COLUMN,
            known(BodyFormat::ALL.iter().map(|v| v.as_str()).collect()),
        ),
        (
            Grouping::COLUMN,
            known(Grouping::ALL.iter().map(|v| v.as_str()).collect()),
        ),
        (State::COLUMN, known(State::ALL.iter().map(|v| v.as_str()).collect())),
    ] {
        let row = client.query_one(taken, &[&column]).await.unwrap();
        assert_eq!(row.get::<_, Option<String>>(0), Some(values), "{column}");
    }
}
