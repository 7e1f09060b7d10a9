//! What capture writes to the outbox, and that no writer ever fails for it.

use odoo_eventd::event::{Image, restore_images};
use odoo_eventd::pg::schema::{self, Roles};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Server};

/// A database with odoo-eventd installed, and a session that looks into its outbox.
pub(crate) struct Captured {
    pub(crate) database: Database,
    /// A session of the owner, for the installation's own functions.
    pub(crate) owner: Client,
    last_seen: i64,
}

impl Captured {
    /// Nothing is watched yet.
    pub(crate) async fn installed() -> Self {
        Self::installed_in(Database::fixture().await).await
    }

    /// The same, in a database of the caller's choice.
    pub(crate) async fn installed_in(database: Database) -> Self {
        let mut owner = database.client().await;
        let roles = Roles {
            listener: "odoo_eventd_listener".to_owned(),
            installer: "odoo_eventd_installer".to_owned(),
        };
        schema::install(&mut owner, &roles)
            .await
            .unwrap_or_else(|error| panic!("{}", error.chain()));
        Self {
            database,
            owner,
            last_seen: 0,
        }
    }

    /// The given columns of one model are watched.
    pub(crate) async fn watching(model: &str, columns: &[&str]) -> Self {
        let captured = Self::installed().await;
        captured.watch(model, columns).await;
        captured
    }

    /// Adds a subscription that needs these columns, without a service. Returns its id.
    pub(crate) async fn watch(&self, model: &str, columns: &[&str]) -> i32 {
        let id = self.want(model, columns, columns).await;
        self.sync(model)
            .await
            .unwrap_or_else(|error| panic!("cannot capture {model}: {error}"));
        id
    }

    /// Says what a new subscription needs: the columns, and those among them whose changes count.
    pub(crate) async fn want(&self, model: &str, columns: &[&str], compared: &[&str]) -> i32 {
        let row = self
            .owner
            .query_one(
                "insert into mcp_event_subscription (model) values ($1) returning id, write_date::text",
                &[&model],
            )
            .await
            .unwrap();
        let (id, stamp): (i32, String) = (row.get(0), row.get(1));
        self.owner
            .execute(
                "select odoo_eventd.judge_subscription($1, $2, 'accepted', null, $3, $4::text[]::name[], $5::text[]::name[], '{}')",
                &[&id, &stamp, &model, &columns, &compared],
            )
            .await
            .unwrap();
        id
    }

    /// What the service does after a change of subscriptions.
    pub(crate) async fn sync(&self, model: &str) -> Result<String, tokio_postgres::Error> {
        let changed = self
            .owner
            .query_one("select odoo_eventd.sync_capture($1)", &[&model])
            .await?
            .get(0);
        self.owner.query("select odoo_eventd.settle_capture()", &[]).await?;
        Ok(changed)
    }

    /// A session of an ordinary writer, which is Odoo's own role.
    pub(crate) async fn writer(&self) -> Client {
        self.database.client().await
    }

    /// Runs statements as a writer with a session of its own.
    pub(crate) async fn write(&self, sql: &str) {
        self.writer()
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
    }

    /// What came into the outbox since the last call, a line a row: `U 1 by 5: state draft -> sale`.
    pub(crate) async fn rows(&mut self) -> Vec<String> {
        let rows = self
            .owner
            .query(
                "select o.id, o.op::text, o.record_id, o.user_id, o.old, o.new, g.columns::text[]
                   from odoo_eventd.outbox o left join odoo_eventd.capture_generation g on g.generation = o.generation
                  where o.id > $1 order by o.id",
                &[&self.last_seen],
            )
            .await
            .unwrap();
        let mut lines = Vec::new();
        for row in rows {
            self.last_seen = row.get(0);
            let user: Option<i32> = row.get(3);
            let (mut old, mut new): (Option<Image>, Option<Image>) = (row.get(4), row.get(5));
            restore_images(row.get::<_, String>(1).as_bytes()[0], &mut old, &mut new);
            let value = |image: &Option<Image>, index: usize| {
                image
                    .as_ref()
                    .map(|image| image[index].clone().unwrap_or_else(|| "null".to_owned()))
            };
            let columns: Vec<String> = row.get(6);
            let values: Vec<String> = columns
                .iter()
                .enumerate()
                .filter_map(|(index, column)| match (value(&old, index), value(&new, index)) {
                    (Some(old), Some(new)) if old == new => None,
                    (Some(old), Some(new)) => Some(format!("{column} {old} -> {new}")),
                    (Some(only), None) | (None, Some(only)) => Some(format!("{column} {only}")),
                    (None, None) => None,
                })
                .collect();
            let by = user.map(|user| format!(" by {user}")).unwrap_or_default();
            lines.push(format!(
                "{} {}{by}: {}",
                row.get::<_, String>(1),
                row.get::<_, i64>(2),
                values.join(", ")
            ));
        }
        lines
    }

    /// Records that the service would be given to read, were it to begin now.
    pub(crate) async fn readable(&self) -> Vec<i64> {
        let read = "select record_id from odoo_eventd.position p, odoo_eventd.read_outbox(p.done, null, '0', 0, 1000) where id is not null";
        self.owner
            .query(read, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    }

    /// What `status` says of a model's capture: why it is not what it should be.
    pub(crate) async fn drift(&self, model: &str) -> Option<String> {
        let status: serde_json::Value = self
            .owner
            .query_one("select odoo_eventd.status()", &[])
            .await
            .unwrap()
            .get(0);
        let of_model = status["models"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["model"] == model)
            .cloned();
        of_model.unwrap_or_else(|| panic!("status says nothing of {model}"))["drift"]
            .as_str()
            .map(str::to_owned)
    }
}

fn state_of(error: &tokio_postgres::Error) -> Option<SqlState> {
    error.code().cloned()
}

// No write may fail ---------------------------------------------------------------------------------------------------

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

// What may be captured -------------------------------------------------------------------------------------------------

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

// Which writes are captured ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_write_that_changes_no_watched_column_is_not_captured() {
    let mut captured = Captured::watching("sale.order", &["state", "amount_total"]).await;
    for unwatched in [
        "update sale_order set note = 'x' where id = 1",
        "update sale_order set note = 'y'",
        "update sale_order set state = state",
        "update sale_order set state = 'draft' where id = 1",
        "update sale_order set amount_total = 266.080 where id = 1",
        "update sale_order set write_date = now() at time zone 'utc', write_uid = 5 where id = 1",
        "update sale_order set state = 'sale' where id = -1",
        "update sale_order set state = 'sale' where false",
        "delete from sale_order where id = -1",
        "insert into sale_order select * from sale_order where false",
    ] {
        captured.write(unwatched).await;
        assert_eq!(captured.rows().await, Vec::<String>::new(), "{unwatched}");
    }
}

#[tokio::test]
async fn audit_columns_that_are_needed_but_not_compared_do_not_make_a_row() {
    let mut captured = Captured::installed().await;
    captured.want("sale.order", &["state", "write_date"], &["state"]).await;
    captured.sync("sale.order").await.unwrap();
    captured
        .write("update sale_order set write_date = '2026-02-02 10:00:00', write_uid = 5 where id = 1")
        .await;
    assert!(captured.rows().await.is_empty());
    captured
        .write("update sale_order set state = 'sent', write_date = '2026-02-02 11:00:00' where id = 1")
        .await;
    assert_eq!(
        captured.rows().await,
        ["U 1: state draft -> sent, write_date 2026-02-02 10:00:00 -> 2026-02-02 11:00:00"]
    );
}

#[tokio::test]
async fn each_statement_of_odoos_kinds_is_captured_with_the_values_before_and_after() {
    let mut captured = Captured::watching("sale.order", &["state", "client_order_ref"]).await;
    captured
        .write(
            r#"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE;
               UPDATE "sale_order" SET "state" = "__tmp"."state"::VARCHAR
                 FROM (VALUES (1, 'sale'), (2, 'cancel'), (3, 'sale')) AS "__tmp"("id", "state")
                WHERE "sale_order"."id" = "__tmp"."id";
               COMMIT"#,
        )
        .await;
    assert_eq!(
        captured.rows().await,
        ["U 1: state draft -> sale", "U 2: state sent -> cancel"]
    );
    captured
        .write("update sale_order set client_order_ref = null, state = null where id = 1")
        .await;
    assert_eq!(captured.rows().await, ["U 1: state sale -> null"]);

    captured
        .write("insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', 900 + id, 'state', 'new'))).* from sale_order o where id in (4, 5)")
        .await;
    assert_eq!(
        captured.rows().await,
        [
            "I 904: client_order_ref 50% off, state new",
            "I 905: client_order_ref , state new"
        ]
    );
    captured.write("delete from sale_order where id in (904, 905)").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(
        rows,
        [
            "D 904: client_order_ref 50% off, state new",
            "D 905: client_order_ref , state new"
        ]
    );
}

#[tokio::test]
async fn an_update_of_the_id_is_an_unlink_and_a_create() {
    let mut captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) values (70, '{}', 7), (71, '{}', 8), (72, '{}', 9)")
        .await;
    captured.rows().await;
    captured.write("update project_tags set id = 80 where id = 70").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(rows, ["D 70: color 7", "I 80: color 7"]);
    // Many at once, one of them into the place of another.
    captured.write("update project_tags set id = id + 1 where id = 80; update project_tags set id = id + 20, color = color + 1 where id in (71, 72)").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(
        rows,
        [
            "D 71: color 8",
            "D 72: color 9",
            "D 80: color 7",
            "I 81: color 7",
            "I 91: color 9",
            "I 92: color 10"
        ]
    );
}

#[tokio::test]
async fn upserts_fire_for_what_they_did() {
    let mut captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) values (70, '{}', 7)")
        .await;
    captured.rows().await;
    let upsert = |action: &str| {
        format!(
            "insert into project_tags (id, name, color) values (70, '{{}}', 1), (71, '{{}}', 2) on conflict (id) do {action}"
        )
    };
    captured.write(&upsert("update set color = excluded.color")).await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(rows, ["I 71: color 2", "U 70: color 7 -> 1"]);
    captured.write(&upsert("nothing")).await;
    assert!(captured.rows().await.is_empty());
}

#[tokio::test]
async fn merge_and_copy_are_captured_like_any_write() {
    let mut captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) values (70, '{}', 7), (71, '{}', 8)")
        .await;
    captured.rows().await;
    if captured.database.server().cluster().version().major >= 15 {
        captured
            .write(
                "merge into project_tags t using (values (70, 1), (71, null), (72, 3)) v (id, color) on t.id = v.id
                 when matched and v.color is null then delete when matched then update set color = v.color
                 when not matched then insert (id, name, color) values (v.id, '{}', v.color)",
            )
            .await;
        let mut rows = captured.rows().await;
        rows.sort();
        assert_eq!(rows, ["D 71: color 8", "I 72: color 3", "U 70: color 7 -> 1"]);
    }
    let writer = captured.writer().await;
    let sink = writer
        .copy_in("copy project_tags (id, name, color) from stdin")
        .await
        .unwrap();
    let mut sink = std::pin::pin!(sink);
    futures_util::SinkExt::send(&mut sink, bytes::Bytes::from_static(b"75\t{}\t5\n76\t{}\t\\N\n"))
        .await
        .unwrap();
    sink.finish().await.unwrap();
    assert_eq!(captured.rows().await, ["I 75: color 5", "I 76: color null"]);
}

#[tokio::test]
async fn deletes_and_updates_by_foreign_key_are_captured_on_the_child() {
    let mut captured = Captured::watching("sale.order.line", &["order_id"]).await;
    captured.watch("project.task", &["sale_order_id"]).await;
    captured
        .write("update project_task set sale_order_id = 1 where id = 1")
        .await;
    captured.rows().await;
    captured.write("delete from sale_order where id = 1").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(
        rows,
        ["D 1: order_id 1", "D 2: order_id 1", "U 1: sale_order_id 1 -> null"]
    );
}

#[tokio::test]
async fn truncate_is_one_alarm() {
    let mut captured = Captured::watching("sale.order.line", &["sequence"]).await;
    captured.write("truncate sale_order_line cascade").await;
    assert_eq!(captured.rows().await, ["T 0: "]);
}

#[tokio::test]
async fn replicated_writes_are_not_captured() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let admin = captured.database.admin_client().await;
    admin
        .batch_execute("set session_replication_role = replica; update sale_order set state = 'sale' where id = 1")
        .await
        .unwrap();
    assert!(captured.rows().await.is_empty());
}

#[tokio::test]
async fn what_is_rolled_back_was_never_captured() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    captured
        .write(
            "begin; update sale_order set state = 'sent' where id = 1;
             savepoint a; update sale_order set state = 'sale' where id = 1; rollback to a;
             savepoint b; update sale_order set state = 'cancel' where id = 1; release b; commit;
             begin; update sale_order set state = 'draft' where id = 1; rollback",
        )
        .await;
    assert_eq!(
        captured.rows().await,
        ["U 1: state draft -> sent", "U 1: state sent -> cancel"]
    );
    let one_transaction = "select count(distinct xid) from odoo_eventd.outbox";
    assert_eq!(captured.database.psql(one_transaction).await, "1");
}

#[tokio::test]
async fn the_user_is_named_only_where_this_transaction_wrote_it() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let stamped = "begin; update sale_order set state = 'sent', write_date = now() at time zone 'utc', write_uid = 5 where id = 1;
                   update sale_order set state = 'sale' where id = 1; commit";
    captured.write(stamped).await;
    assert_eq!(
        captured.rows().await,
        ["U 1 by 5: state draft -> sent", "U 1 by 5: state sent -> sale"]
    );
    // Raw SQL leaves a stale one.
    captured
        .write("update sale_order set state = 'cancel' where id = 1")
        .await;
    assert_eq!(captured.rows().await, ["U 1: state sale -> cancel"]);
    let insert = |id: i32, created: &str| {
        format!(
            "insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', {id}, 'create_uid', 6, 'create_date', {created}))).*
               from sale_order o where id = 1"
        )
    };
    captured.write(&insert(901, "now() at time zone 'utc'")).await;
    captured.write(&insert(902, "'2026-01-01 10:00:00'")).await;
    assert_eq!(
        captured.rows().await,
        ["I 901 by 6: state cancel", "I 902: state cancel"]
    );
}

#[tokio::test]
async fn the_writers_settings_do_not_change_what_is_captured() {
    let columns = [
        "amount_total",
        "create_date",
        "prepayment_percent",
        "validity_date",
        "x_bytes",
        "x_instant",
        "x_span",
    ];
    let captured = Captured::installed().await;
    captured
        .write(
            r#"alter table sale_order add column x_instant timestamptz, add column x_span interval, add column x_bytes bytea;
               insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
               select 'sale.order', m.id, f, 'char', 'manual', '{"en_US": "x"}', true
                 from ir_model m, unnest(array['x_instant', 'x_span', 'x_bytes']) f where m.model = 'sale.order'"#,
        )
        .await;
    let mut captured = captured;
    captured.watch("sale.order", &columns).await;
    let mut seen = Vec::new();
    for settings in [
        "set datestyle = 'ISO, YMD'",
        "set datestyle = 'German, DMY'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = -15; set intervalstyle = 'iso_8601'; set bytea_output = 'escape'",
        "set datestyle = 'SQL, MDY'; set timezone = 'America/St_Johns'; set search_path = ''; set lc_numeric = 'C'; set quote_all_identifiers = on",
    ] {
        let writer = captured.writer().await;
        writer.batch_execute(settings).await.unwrap();
        for amount in ["null", "1.10"] {
            writer
                .batch_execute(&format!(
                    "update public.sale_order set amount_total = {amount}::numeric, create_date = timestamp '2026-03-04 05:06:07.89',
                        prepayment_percent = 1/3::float8, validity_date = date '2026-12-31', x_bytes = '\\x0102',
                        x_instant = timestamptz '2026-07-01 00:00:00+00', x_span = interval '1 day 02:03' where id = 2"
                ))
                .await
                .unwrap();
        }
        seen.push(captured.rows().await.pop().unwrap());
        // What was kept, changed or not.
        let last = "select new from odoo_eventd.outbox order by id desc limit 1";
        seen.push(captured.database.psql(last).await);
    }
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[1], seen[3]);
    assert_eq!(seen[1], seen[5]);
    assert!(
        seen[1].contains("2026-03-04 05:06:07.89") && seen[1].contains("0.3333333333333333"),
        "{}",
        seen[1]
    );
}

#[tokio::test]
async fn long_texts_and_files_are_kept_as_digests_unless_the_value_is_needed() {
    let mut captured = Captured::watching("sale.order", &["note", "state"]).await;
    captured.watch("ir.attachment", &["db_datas", "name"]).await;
    captured
        .write("insert into ir_attachment (id, name, type, db_datas) values (900, 'f', 'binary', 'abc')")
        .await;
    assert_eq!(
        captured.rows().await,
        ["I 900: db_datas \u{1}sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, name f"]
    );
    captured
        .write("update sale_order set note = repeat('x', 16384) where id = 2")
        .await;
    assert!(captured.rows().await[0].len() > 16_384);
    captured
        .write("update sale_order set note = repeat('x', 16385) where id = 2")
        .await;
    captured
        .write("update sale_order set note = repeat('y', 20000) where id = 2")
        .await;
    captured
        .write("update sale_order set note = repeat('y', 20000) where id = 2")
        .await;
    captured
        .write("update sale_order set note = E'\\x01gone', state = 'x' where id = 2")
        .await;
    captured
        .write("update sale_order set note = E'\\x01gone', state = 'y' where id in (1, 2)")
        .await;
    let rows = captured.rows().await;
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert!(
        rows.iter().all(|row| row.len() < 17_000 && !row.contains("gone")),
        "{rows:?}"
    );
    assert!(
        rows[1].matches("\u{1}sha256:").count() == 2 && !rows[4].contains("note"),
        "{rows:?}"
    );

    // A domain reads it: from now on it is kept whole, and who only watches it goes on without a gap.
    let judged_from = "select captured_from from odoo_eventd.captured_column where column_name = 'note' and not whole";
    let before = captured.database.psql(judged_from).await;
    let id = captured.want("sale.order", &["note"], &["note"]).await;
    captured
        .write(&format!(
            "update odoo_eventd.subscription_need set whole = '{{note}}' where subscription_id = {id}"
        ))
        .await;
    captured.sync("sale.order").await.unwrap();
    captured
        .write("update sale_order set note = repeat('z', 20000) where id = 2")
        .await;
    assert!(captured.rows().await[0].contains(&"z".repeat(20_000)));
    assert_eq!(captured.database.psql(judged_from).await, before);
}

// Writers beside each other ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn writers_of_distinct_records_never_block_or_fail_each_other_under_repeatable_read() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let begin = "begin isolation level repeatable read; set local lock_timeout = 1; select count(*) from sale_order";
    let mut writers = Vec::new();
    for _ in 0..8 {
        writers.push(captured.writer().await);
    }
    // All transactions are open at the same time, and end in the order opposite to that of their writes.
    for round in 0..25 {
        for writer in &writers {
            writer.batch_execute(begin).await.unwrap();
        }
        for (index, writer) in writers.iter().enumerate() {
            let id = index + 1;
            writer
                .batch_execute(&format!("update sale_order set state = 'r{round}' where id = {id}"))
                .await
                .unwrap();
        }
        for writer in writers.iter().rev() {
            writer.batch_execute("commit").await.unwrap();
        }
    }
    assert_eq!(captured.rows().await.len(), 25 * 8);
}

#[tokio::test]
async fn a_plan_made_for_one_row_does_not_serve_two_hundred_thousand() {
    let captured = Captured::watching("project.tags", &["color"]).await;
    let writer = captured.writer().await;
    writer
        .batch_execute(
            "set statement_timeout = '60s';
             insert into project_tags (id, name, color) select n, '{}', 0 from generate_series(1000, 201000) n",
        )
        .await
        .unwrap();
    // More often than the five times after which PostgreSQL settles for a generic plan.
    for color in 1..=12 {
        writer
            .batch_execute(&format!("update project_tags set color = {color} where id = 1000"))
            .await
            .unwrap();
    }
    writer
        .batch_execute("update project_tags set color = 99 where id >= 1000")
        .await
        .unwrap();
    writer
        .batch_execute("delete from project_tags where id >= 1000")
        .await
        .unwrap();
    let by_op = "select string_agg(op || ' ' || n, ', ' order by op) from (select op::text, count(*) n from odoo_eventd.outbox group by op) x";
    assert_eq!(captured.database.psql(by_op).await, "D 200001, I 200001, U 200013");
}

#[tokio::test]
async fn capture_off_and_on_again_is_one_call_that_waits_for_no_writer() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let busy = captured.writer().await;
    busy.batch_execute(
        "begin; lock table sale_order in access exclusive mode; update sale_order set state = 'sent' where id = 1",
    )
    .await
    .unwrap();
    captured
        .write("set lock_timeout = 1; select odoo_eventd.switch_capture(false)")
        .await;
    busy.batch_execute("update sale_order set state = 'sale' where id = 1; commit")
        .await
        .unwrap();
    assert_eq!(captured.rows().await, ["U 1: state draft -> sent"]);
    captured.write("set lock_timeout = 1; select odoo_eventd.switch_capture(true, 'sale.order'); select odoo_eventd.switch_capture(true)").await;
    captured
        .write("update sale_order set state = 'cancel' where id = 1")
        .await;
    assert_eq!(captured.rows().await, ["U 1: state sale -> cancel"]);
    assert_eq!(
        captured.database.psql("select odoo_eventd.switch_capture(false, 'sale.order'); update sale_order set state = 'x' where id = 1; select count(*) from odoo_eventd.outbox").await,
        "sale.order\n2"
    );
}

#[tokio::test]
async fn a_transaction_that_straddles_the_time_capture_was_off_is_not_judged_and_all_others_are() {
    let captured = Captured::watching("sale.order", &["state"]).await;
    captured.watch("project.tags", &["color"]).await;
    let write = |id: i32| format!("update sale_order set state = 'x' || random() where id = {id}");
    captured.write(&write(1)).await;
    let (before, across, after) = (
        captured.writer().await,
        captured.writer().await,
        captured.writer().await,
    );
    before
        .batch_execute(&format!("begin; {}; commit", write(2)))
        .await
        .unwrap();
    across.batch_execute(&format!("begin; {}", write(3))).await.unwrap();
    captured
        .write("select odoo_eventd.switch_capture(false, 'sale.order')")
        .await;
    after.batch_execute("begin; select 1").await.unwrap();
    across.batch_execute(&write(3)).await.unwrap();
    captured.write("update project_tags set color = 77 where id = 1").await;
    captured
        .write("select odoo_eventd.switch_capture(true, 'sale.order')")
        .await;
    // Until the end is settled, nobody knows who began before it.
    assert_eq!(
        captured
            .owner
            .query("select odoo_eventd.settle_capture()", &[])
            .await
            .unwrap()
            .len(),
        0
    );
    across.batch_execute(&format!("{}; commit", write(3))).await.unwrap();
    after.batch_execute(&format!("{}; commit", write(4))).await.unwrap();
    captured.write(&write(5)).await;
    assert_eq!(captured.readable().await, [1, 2, 1, 4, 5]);
    let gaps = "select jsonb_path_query(odoo_eventd.status(), '$.gaps[*]') - 'from' - 'to'";
    assert_eq!(
        captured.database.psql(gaps).await,
        r#"{"model": "sale.order", "reason": "switched off"}"#
    );
}

#[tokio::test]
async fn past_the_outboxs_cap_capture_stops_writes_go_on_and_the_gap_is_told() {
    let captured = Captured::watching("sale.order", &["state"]).await;
    captured.write("update odoo_eventd.installation set outbox_max_bytes = 65536; select odoo_eventd.register_installation(null)").await;
    let writer = captured.writer().await;
    let write = "update sale_order set state = 'x' || random()";
    let mut written = 0;
    while captured
        .database
        .psql("select count(*) from odoo_eventd.capture_overflow")
        .await
        == "0"
    {
        writer.batch_execute(write).await.unwrap();
        written += 1;
        assert!(written < 1_000, "the cap was never reached");
    }
    // A transaction that began within the room and ends beyond it is not judged: it is captured in part.
    let last = "select count(*) from odoo_eventd.outbox o where odoo_eventd.is_in_gap(o.xid, o.generation)";
    assert_eq!(captured.database.psql(last).await, "0");
    assert_eq!(captured.readable().await.len(), 8 * (written - 1));
    let told = "select jsonb_path_query(odoo_eventd.status(), '$.gaps[*]') - 'from' - 'to'";
    assert_eq!(
        captured.database.psql(told).await,
        r#"{"model": "sale.order", "reason": "the outbox was full"}"#
    );
    assert_eq!(
        captured
            .database
            .psql("select odoo_eventd.status() -> 'outbox' -> 'max_bytes'")
            .await,
        "65536"
    );
    // Room again.
    let straddling = captured.writer().await;
    straddling.batch_execute(&format!("begin; {write}")).await.unwrap();
    captured.write("update odoo_eventd.installation set outbox_max_bytes = 1000000; select odoo_eventd.register_installation(null)").await;
    straddling.batch_execute(&format!("{write}; commit")).await.unwrap();
    assert_eq!(captured.readable().await.len(), 8 * (written - 1));
    writer.batch_execute(write).await.unwrap();
    assert_eq!(captured.readable().await.len(), 8 * written);
}
