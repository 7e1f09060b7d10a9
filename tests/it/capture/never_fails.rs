//! No write may fail for what capture does.

use tokio_postgres::error::SqlState;

use super::{Captured, state_of};
use crate::support::Server;

#[tokio::test]
async fn without_an_outbox_writes_go_on_and_nothing_is_kept() {
    for breakage in [
        "drop table odoo_eventd.outbox_0 cascade",
        "alter table odoo_eventd.outbox_0 rename to elsewhere",
        "drop sequence odoo_eventd.outbox_id_seq",
        "revoke all on odoo_eventd.outbox_0 from odoo",
        "revoke insert on odoo_eventd.outbox_0 from odoo",
        "revoke all on sequence odoo_eventd.outbox_id_seq from odoo",
        "alter table odoo_eventd.outbox_0 owner to postgres",
        "alter sequence odoo_eventd.outbox_id_seq owner to postgres",
    ] {
        let captured = Captured::watching("sale.order", &["state"]).await;
        let writer = captured.writer().await;
        writer
            .batch_execute("update sale_order set state = 'sent' where id = 1")
            .await
            .unwrap();
        captured
            .database
            .admin_client()
            .await
            .batch_execute(breakage)
            .await
            .unwrap();
        // In a session that has run the function before, and in a fresh one.
        for session in [writer, captured.writer().await] {
            for statement in [
                "update sale_order set state = 'sale' where id = 1",
                "update sale_order set state = 'draft'",
                "insert into sale_order select (jsonb_populate_record(o, '{\"id\": 901}')).* from sale_order o where id = 1",
                "delete from sale_order where id = 901",
                "begin; truncate sale_order cascade; rollback",
            ] {
                session
                    .batch_execute(statement)
                    .await
                    .unwrap_or_else(|e| panic!("{breakage}: {statement}: {e:?}"));
            }
        }
    }
}

#[tokio::test]
async fn garbage_in_mcp_uid_never_fails_a_delete_and_a_number_lands_in_its_row() {
    let mut captured = Captured::watching("sale.order.line", &["sequence"]).await;
    for (garbage, id) in [
        ("", 1),
        ("x", 2),
        ("-1", 3),
        ("99999999999999999999", 4),
        ("5; drop", 5),
        ("1e3", 6),
        (" 7", 7),
    ] {
        captured
            .write(&format!(
                "begin; set local mcp.uid = '{garbage}'; delete from sale_order_line where id = {id}; commit"
            ))
            .await;
    }
    assert!(captured.rows().await.iter().all(|row| !row.contains(" by ")));
    captured
        .write("begin; set local mcp.uid = '42'; delete from sale_order_line where id = 8; commit")
        .await;
    let rows = captured.rows().await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].starts_with("D 8 by 42: "), "{rows:?}");
    // Gone with its transaction.
    captured.write("delete from sale_order_line where id = 9").await;
    assert!(captured.rows().await[0].starts_with("D 9: "));
}

#[tokio::test]
async fn a_role_with_rights_on_odoos_tables_alone_writes_and_is_captured() {
    let server = Server::shared();
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let role = format!("writer_of_{}", captured.database.name());
    server.cluster().create_role(&role, "").unwrap();
    captured
        .write(&format!(
            "grant select, insert, update, delete on sale_order to {role}; grant usage on schema public to {role}"
        ))
        .await;
    let writer = captured.database.client_as(&role).await;
    writer
        .batch_execute("update sale_order set state = 'sale' where id = 1")
        .await
        .unwrap();
    assert_eq!(captured.rows().await, ["U 1: state draft -> sale"]);
    for forbidden in [
        "select * from odoo_eventd.outbox_0",
        "insert into odoo_eventd.outbox_0 values (1)",
        "select nextval('odoo_eventd.outbox_id_seq')",
        "select odoo_eventd.sync_capture('sale.order')",
        "select odoo_eventd.switch_capture(false)",
        "select odoo_eventd.capture_sale_order()",
        "create trigger mine after update on sale_order for each statement execute function odoo_eventd.capture_sale_order()",
    ] {
        let refused = writer.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(
            state_of(&refused),
            Some(SqlState::INSUFFICIENT_PRIVILEGE),
            "{forbidden}"
        );
    }
}

#[tokio::test]
async fn prepared_transactions_work_with_notify_off_and_are_captured() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    captured
        .write("update odoo_eventd.installation set notify = false; select odoo_eventd.register_installation(null)")
        .await;
    let bell = captured.writer().await;
    bell.batch_execute("select pg_advisory_lock(1868853103, 2)")
        .await
        .unwrap();
    let name = captured.database.name().to_owned();
    captured
        .write(&format!(
            "begin; update sale_order set state = 'sale' where id = 1; prepare transaction '{name}'"
        ))
        .await;
    assert!(captured.rows().await.is_empty());
    captured.write(&format!("commit prepared '{name}'")).await;
    assert_eq!(captured.rows().await, ["U 1: state draft -> sale"]);
}

#[tokio::test]
async fn prepare_transaction_fails_behind_a_notify_as_documented_and_never_without_one() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let name = captured.database.name().to_owned();
    let two_phase = format!("begin; update sale_order set state = 'sale' where id = 1; prepare transaction '{name}'");
    // The service sleeps: the writer rings, and PostgreSQL refuses NOTIFY in two-phase commit.
    let bell = captured.writer().await;
    bell.batch_execute("select pg_advisory_lock(1868853103, 2)")
        .await
        .unwrap();
    let refused = captured.writer().await.batch_execute(&two_phase).await.unwrap_err();
    assert_eq!(state_of(&refused), Some(SqlState::FEATURE_NOT_SUPPORTED));
    assert!(captured.rows().await.is_empty());
    // It is awake, or does not run.
    bell.batch_execute("select pg_advisory_unlock(1868853103, 2)")
        .await
        .unwrap();
    captured.write(&two_phase).await;
    captured.write(&format!("commit prepared '{name}'")).await;
    assert_eq!(captured.rows().await, ["U 1: state draft -> sale"]);
}
