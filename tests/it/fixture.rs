//! The Odoo-shaped database is shaped as Odoo's: its metadata describes its tables, in the words a real one uses.

use crate::support::Database;

/// What a reader of the metadata can know of a field, and what its column really is, a line each.
const FIELDS: &str = "
    SELECT field.model || '.' || field.name,
           concat_ws(' ', ttype, relation, relation_field, relation_table || '(' || column1 || ',' || column2 || ')',
                     'related=' || related, 'on_delete=' || on_delete, CASE WHEN store THEN 'stored' END,
                     CASE WHEN translate THEN 'translated' END, CASE WHEN company_dependent THEN 'per company' END,
                     CASE WHEN required THEN 'required' END, CASE WHEN index THEN 'indexed' END,
                     (SELECT format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
                      FROM pg_attribute
                      WHERE attrelid = to_regclass(CASE model
                                WHEN 'project.task.stage.personal' THEN 'project_task_user_rel'
                                WHEN 'ir.actions.actions' THEN 'ir_actions'
                                WHEN 'ir.actions.act_window' THEN 'ir_act_window'
                                ELSE replace(model, '.', '_') END)
                        AND attname = field.name))
    FROM ir_model_fields AS field";

/// Odoo limits the length of this column and no other of its kind; nothing here depends on it.
const DIFFERENT: [&str; 1] = ["ir.module.module.state"];

#[tokio::test]
async fn every_field_reads_as_it_does_in_a_real_odoo() {
    let Some(real) = Database::dump().await else { return };
    let fixture = Database::fixture().await;
    let real = real.client().await.query(FIELDS, &[]).await.unwrap();
    let real: std::collections::HashMap<String, String> = real.iter().map(|row| (row.get(0), row.get(1))).collect();

    let ours = fixture.client().await.query(FIELDS, &[]).await.unwrap();
    assert!(ours.len() > 500);
    for row in &ours {
        let (name, field): (&str, &str) = (row.get(0), row.get(1));
        if !DIFFERENT.contains(&name) {
            assert_eq!(Some(field), real.get(name).map(String::as_str), "{name}");
        }
    }
}

#[tokio::test]
async fn only_secrets_have_columns_that_no_stored_field_announces() {
    let fixture = Database::fixture().await;
    let unannounced = "
        SELECT string_agg(attrelid::regclass || '.' || attname, ' ' ORDER BY attrelid::regclass::text, attname)
        FROM pg_attribute
        JOIN ir_model ON to_regclass(replace(model, '.', '_')) = attrelid
        WHERE attnum > 0 AND NOT attisdropped
          AND NOT EXISTS (SELECT FROM ir_model_fields AS field
                          WHERE field.model = ir_model.model AND field.name = attname AND store)";
    assert_eq!(
        fixture.psql(unannounced).await,
        "res_users.password res_users.totp_secret res_users_apikeys.index res_users_apikeys.key"
    );
}

#[tokio::test]
async fn every_many_to_many_table_is_there_with_the_columns_that_are_told() {
    let fixture = Database::fixture().await;
    let missing = "
        SELECT count(*) FILTER (WHERE NOT EXISTS (SELECT FROM pg_attribute
                   WHERE attrelid = to_regclass(relation_table) AND attname = told)),
               count(*)
        FROM ir_model_fields, unnest(ARRAY[column1, column2]) AS told
        WHERE relation_table IS NOT NULL";
    let row = fixture.client().await.query_one(missing, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    assert!(row.get::<_, i64>(1) >= 30);
}

#[tokio::test]
async fn records_can_be_written_as_odoo_writes_them() {
    let fixture = Database::fixture().await;
    let client = fixture.client().await;
    client
        .batch_execute(
            r#"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE;
               INSERT INTO "res_partner" ("active", "name", "type", "create_uid", "create_date", "write_uid", "write_date")
                   VALUES (true, 'New customer', 'contact', 5, now() AT TIME ZONE 'UTC', 5, now() AT TIME ZONE 'UTC')
                   RETURNING "id";
               UPDATE "sale_order" SET "state" = "__tmp"."state"::VARCHAR, "write_uid" = "__tmp"."write_uid"::int4
                   FROM (VALUES (1, 'sale', 5)) AS "__tmp" ("id", "state", "write_uid")
                   WHERE "sale_order"."id" = "__tmp"."id";
               INSERT INTO "res_partner_res_partner_category_rel" ("partner_id", "category_id")
                   VALUES (8, 1), (8, 2) ON CONFLICT DO NOTHING;
               DELETE FROM "sale_order" WHERE id IN (8);
               COMMIT"#,
        )
        .await
        .unwrap();
    let cascaded = "SELECT count(*) FROM sale_order_line WHERE order_id = 8";
    assert_eq!(fixture.psql(cascaded).await, "0");
}
