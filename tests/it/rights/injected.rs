//! Names that would be SQL if they were not quoted: as table, column, table of pairs, role and database.

use odoo_eventd::demo::Options;
use odoo_eventd::demo::cluster::SUPERUSER;

use super::trap;
use crate::support::db::ODOO;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Server, eventually};

/// Each ends what it may stand in, and then calls something.
const NAMES: [&str; 9] = [
    "x\nperform trap.it();--",
    "x'; perform trap.it(); --",
    "x\"; perform trap.it(); --",
    "x$$; perform trap.it(); $$",
    "x$body$; perform trap.it(); $body$",
    "x\\'; perform trap.it(); --",
    "x*/ perform trap.it(); /*",
    "x%s%I%1$s%%",
    "xäöü€𝄞\r\nperform trap.it();",
];

#[tokio::test(flavor = "multi_thread")]
async fn names_are_never_sql_whatever_is_in_them() {
    let server = Server::private(Options::new());
    let database = server.fixture().await;
    let admin = trap::pinned(&database, SUPERUSER).await;
    trap::prepare(&admin).await;
    admin
        .batch_execute(
            "select trap.sequence_for('it');
             create function trap.it() returns void language plpgsql security definer as
               $$ begin perform pg_catalog.nextval('trap.it'); end $$",
        )
        .await
        .unwrap();
    let odoo = trap::pinned(&database, ODOO).await;
    for (at, name) in NAMES.iter().enumerate() {
        odoo.execute(
            "insert into public.ir_model_fields (model, model_id, name, ttype, state, field_description, store, relation, relation_table, column1, column2)
             select 'sale.order', m.id, $1, 'many2many', 'base', '{\"en_US\": \"x\"}', true, 'crm.tag', $2, $3, $4
               from public.ir_model m where m.model = 'sale.order'",
            &[&format!("x_pairs_{at}"), name, &format!("{name}1"), &format!("{name}2")],
        )
        .await
        .unwrap();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        odoo.batch_execute(&format!(
            "create table public.{} ({} integer, {} integer); alter table public.sale_order add column {} varchar",
            quoted(name),
            quoted(&format!("{name}1")),
            quoted(&format!("{name}2")),
            quoted(name)
        ))
        .await
        .unwrap();
        odoo.execute(
            "insert into public.ir_model_fields (model, model_id, name, ttype, state, field_description, store)
             select 'sale.order', m.id, $1, 'char', 'base', '{\"en_US\": \"x\"}', true from public.ir_model m where m.model = 'sale.order'",
            &[name],
        )
        .await
        .unwrap();
        // A model of that name has the table of that name, where no point is in it.
        odoo.execute(
            "insert into public.ir_model (model, name, \"order\") values ($1, '{\"en_US\": \"x\"}', 'id')",
            &[&format!("m{name}")],
        )
        .await
        .unwrap();
        odoo.batch_execute(&format!(
            "create table public.{} (id integer primary key, name varchar)",
            quoted(&format!("m{name}").replace('.', "_"))
        ))
        .await
        .unwrap();
        odoo.execute(
            "insert into public.ir_model_fields (model, model_id, name, ttype, state, field_description, store)
             select m.model, m.id, 'name', 'char', 'base', '{\"en_US\": \"x\"}', true from public.ir_model m where m.model = $1",
            &[&format!("m{name}")],
        )
        .await
        .unwrap();
    }
    drop(odoo);
    let role = "l'\"\\\n$$;--é";
    eventd_ok(
        &database.admin_url(),
        &["install", "--listener-role", role, "--installer-role", "i\n';--"],
    )
    .await;
    eventd_ok(&database.admin_url(), &["plan", "--listener-role", role]).await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    for (at, name) in NAMES.iter().enumerate() {
        for (model, field) in [
            ("sale.order".to_owned(), format!("x_pairs_{at}")),
            ("sale.order".to_owned(), (*name).to_owned()),
            (format!("m{name}"), "name".to_owned()),
        ] {
            // By SQL: the command line splits at commas. A name that cannot be a field's is refused with a sentence.
            admin
                .execute(
                    "insert into public.mcp_event_subscription (model, fields, webhook_url) values ($1, array[$2], $3)",
                    &[&model, &field, &url],
                )
                .await
                .unwrap();
            eventd(
                &database.admin_url(),
                &["domain", "eval", "--model", &model, &format!("[('{field}', '=', 1)]")],
            )
            .await;
        }
    }
    let service = Service::start(&database.url(), &[]);
    if tokio::time::timeout(SOON, wait_until_leading(&database)).await.is_err() {
        let (_, log) = service.terminate().await;
        panic!(
            "{}",
            log.lines()
                .filter(|l| l.contains("WARN") || l.contains("ERROR"))
                .take(12)
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
    let odoo = trap::pinned(&database, ODOO).await;
    for name in NAMES {
        let quoted = name.replace('"', "\"\"");
        let model = quoted.replace('.', "_");
        odoo.batch_execute(&format!(
            "insert into public.\"{quoted}\" values (1, 1); update public.\"{quoted}\" set \"{quoted}2\" = 2; delete from public.\"{quoted}\";
             insert into public.\"{quoted}\" values (1, 1);
             insert into public.\"m{model}\" values (1, 'x'); update public.\"m{model}\" set name = 'y'; delete from public.\"m{model}\";
             update public.sale_order set \"{quoted}\" = 'x' where id = 1; truncate public.\"{quoted}\""
        ))
        .await
        .unwrap_or_else(|error| panic!("{name}: {:?}", error.as_db_error()));
    }
    let captured = "select count(*) from odoo_eventd.capture c where c.active";
    eventually("captures", SOON, async || {
        (admin.query_one(captured, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    let stuck = admin
        .query("select s.model, s.fields[1], s.error from public.mcp_event_subscription s where s.state is distinct from 'ready'", &[])
        .await
        .unwrap();
    for row in &stuck {
        eprintln!(
            "{:?} {:?}: {:?}",
            row.get::<_, &str>(0),
            row.get::<_, &str>(1),
            row.get::<_, Option<&str>>(2)
        );
    }
    service.terminate().await;
    eventd_ok(&database.url(), &["capture", "off"]).await;
    eventd_ok(&database.url(), &["capture", "on"]).await;
    eventd_ok(&database.url(), &["status"]).await;
    eventd_ok(&database.admin_url(), &["uninstall", "--purge"]).await;
    assert_eq!(trap::sprung(&admin).await, [""; 0]);
    drop((admin, odoo));

    let hostile = "d'\"\\\n$body$;--é%s";
    server
        .cluster()
        .execute(
            "postgres",
            &format!(
                "create database \"{}\" template \"{}\" owner odoo",
                hostile.replace('"', "\"\""),
                database.name()
            ),
        )
        .unwrap();
    let url = server.cluster().url(hostile, SUPERUSER);
    eventd_ok(&url, &["install"]).await;
    eventd_ok(
        &url,
        &["subscribe", "--model", "sale.order", "--url", "https://127.0.0.1:9/"],
    )
    .await;
    eventd_ok(&url, &["status"]).await;
    eventd_ok(&url, &["uninstall", "--purge"]).await;
}
