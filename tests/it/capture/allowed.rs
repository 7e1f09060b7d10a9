//! What may be captured, and what is refused.

use tokio_postgres::error::SqlState;

use super::{Captured, state_of};

#[tokio::test]
async fn secrets_are_never_captured_even_when_asked_for_by_sql() {
    let captured = Captured::installed().await;
    for (model, column) in [
        ("res.users", "password"),
        ("res.users", "totp_secret"),
        ("sale.order", "access_token"),
        ("ir.config_parameter", "value"),
        ("res.users.apikeys", "key"),
    ] {
        let id = captured.want(model, &[column], &[column]).await;
        let refused = captured.sync(model).await.unwrap_err();
        assert_eq!(state_of(&refused), Some(SqlState::UNDEFINED_COLUMN), "{model} {column}");
        captured
            .owner
            .execute("select odoo_eventd.remove_subscription($1)", &[&id])
            .await
            .unwrap();
        let capturable = captured
            .owner
            .query(
                "select 1 from odoo_eventd.capturable_columns($1) where column_name = $2::text::name",
                &[&model, &column],
            )
            .await
            .unwrap();
        assert!(capturable.is_empty(), "{model} {column}");
    }
    captured
        .write("insert into odoo_eventd.secret_field values ('sale.order', 'client_order_ref')")
        .await;
    captured.want("sale.order", &["client_order_ref"], &[]).await;
    assert_eq!(
        state_of(&captured.sync("sale.order").await.unwrap_err()),
        Some(SqlState::UNDEFINED_COLUMN)
    );
}

#[tokio::test]
async fn sql_text_in_names_is_refused_and_never_run() {
    let captured = Captured::installed().await;
    let hostile = [
        "state); drop table sale_order; --",
        "state\"; drop table sale_order; --",
        "state' || pg_sleep(9) || '",
        "STATE",
        "o.state",
        "ctid",
        "tableoid",
        "",
    ];
    for name in hostile {
        let id = captured.want("sale.order", &[name], &[name]).await;
        let refused = captured.sync("sale.order").await.unwrap_err();
        assert_eq!(state_of(&refused), Some(SqlState::UNDEFINED_COLUMN), "{name}");
        captured
            .owner
            .execute("select odoo_eventd.remove_subscription($1)", &[&id])
            .await
            .unwrap();

        captured.want(name, &["state"], &["state"]).await;
        let refused = captured.sync(name).await.unwrap_err();
        assert_eq!(state_of(&refused), Some(SqlState::UNDEFINED_TABLE), "{name}");
    }
    assert_eq!(captured.database.psql("select count(*) > 0 from sale_order").await, "t");
}

#[tokio::test]
async fn models_on_views_and_inheritance_are_refused_and_oddly_named_tables_found() {
    let captured = Captured::installed().await;
    for (model, column) in [
        ("report.project.task.user", "name"),
        ("ir.actions.actions", "name"),
        ("ir.actions.act_window", "name"),
        ("mail.thread", "id"),
    ] {
        captured.want(model, &[column], &[column]).await;
        let refused = captured.sync(model).await.unwrap_err();
        assert_eq!(state_of(&refused), Some(SqlState::UNDEFINED_TABLE), "{model}");
    }
    captured.watch("project.task.stage.personal", &["stage_id"]).await;
    let triggers = "select count(*) from pg_trigger where tgrelid = 'project_task_user_rel'::regclass and tgname like 'odoo\\_eventd%'";
    assert_eq!(captured.database.psql(triggers).await, "4");
}

#[tokio::test]
async fn columns_with_hostile_names_and_types_without_equality_are_captured() {
    let captured = Captured::installed().await;
    captured
        .write(
            r#"alter table sale_order add column "x_a%1$s'b""c" varchar, add column x_point point, add column x_json json;
               insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
               select 'sale.order', m.id, f, 'char', 'manual', '{"en_US": "x"}', true
                 from ir_model m, unnest(array['x_a%1$s''b"c', 'x_point', 'x_json']) f where m.model = 'sale.order'"#,
        )
        .await;
    let mut captured = captured;
    captured
        .watch("sale.order", &["x_a%1$s'b\"c", "x_point", "x_json"])
        .await;
    captured
        .write(r#"update sale_order set "x_a%1$s'b""c" = 'v', x_point = '(1,2)', x_json = '{"a": 1}' where id = 1"#)
        .await;
    captured
        .write(r#"update sale_order set x_point = x_point, x_json = x_json"#)
        .await;
    assert_eq!(
        captured.rows().await,
        [r#"U 1: x_a%1$s'b"c null -> v, x_json null -> {"a": 1}, x_point null -> (1,2)"#]
    );
}
