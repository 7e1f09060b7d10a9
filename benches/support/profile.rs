//! Where the time goes: processor time by part, and statements by what they took in the server.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use odoo_eventd::demo::Options;
use tokio_postgres::Client;

/// Lets the server count its statements, those inside functions too. It needs the server's contrib package.
pub(crate) fn counted(options: Options) -> Options {
    options
        .setting("shared_preload_libraries", "pg_stat_statements")
        .setting("pg_stat_statements.track", "all")
}

/// What was used up to a moment.
pub(crate) struct Profile {
    client: Client,
    began: Instant,
    service: u32,
    used: HashMap<&'static str, Duration>,
}

impl Profile {
    /// Counts from now on. `client` is a superuser's, and used for nothing else.
    pub(crate) async fn begin(client: Client, service: u32) -> Self {
        client
            .batch_execute("create extension if not exists pg_stat_statements")
            .await
            .unwrap();
        client.batch_execute("select pg_stat_statements_reset()").await.unwrap();
        let mut profile = Self {
            client,
            began: Instant::now(),
            service,
            used: HashMap::new(),
        };
        profile.used = profile.used_now().await;
        profile.began = Instant::now();
        profile
    }

    async fn used_now(&self) -> HashMap<&'static str, Duration> {
        let rows = self
            .client
            .query(
                "select pid, case when application_name like 'odoo-eventd%' then 'server, for the service'
                             when backend_type = 'client backend' then 'server, for the writers'
                             else 'server, in the background' end
                   from pg_stat_activity where pid <> pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        let mut used: HashMap<&'static str, Duration> = HashMap::new();
        for row in rows {
            let pid: i32 = row.get(0);
            let part = match row.get::<_, String>(1).as_str() {
                "server, for the service" => "server, for the service",
                "server, for the writers" => "server, for the writers",
                _ => "server, in the background",
            };
            *used.entry(part).or_default() += super::processor_time(&pid.to_string());
        }
        used.insert("service", super::processor_time(&self.service.to_string()));
        used.insert("writers and receiver", super::processor_time("self"));
        used
    }

    /// Prints what was used since it began, for each of so many events. Sessions that began or ended meanwhile are missing in part.
    pub(crate) async fn print(self, events: u64) {
        let elapsed = self.began.elapsed();
        let now = self.used_now().await;
        let per_event = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
        println!("\n{:>9.1} us an event on the clock", per_event(elapsed));
        let mut parts: Vec<_> = now
            .into_iter()
            .map(|(part, used)| {
                let before = self.used.get(part).copied().unwrap_or_default();
                (used.saturating_sub(before), part)
            })
            .collect();
        parts.sort();
        for (used, part) in parts.into_iter().rev() {
            println!("{:>9.1} us an event of processor time: {part}", per_event(used));
        }
        let rows = self
            .client
            .query(
                "select calls, total_exec_time, rows, toplevel, left(regexp_replace(query, '\\s+', ' ', 'g'), 110)
                   from pg_stat_statements order by total_exec_time desc limit 16",
                &[],
            )
            .await
            .unwrap();
        println!("\n    calls   us an event     rows  statement (* = inside a function)");
        for row in rows {
            let (calls, total, of_rows): (i64, f64, i64) = (row.get(0), row.get(1), row.get(2));
            let mark = if row.get(3) { ' ' } else { '*' };
            println!(
                "{calls:>9} {:>13.1} {of_rows:>8} {mark}{}",
                total * 1e3 / events as f64,
                row.get::<_, &str>(4)
            );
        }
        println!();
    }
}
