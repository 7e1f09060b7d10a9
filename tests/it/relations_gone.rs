//! Links of records that were removed before anybody looked.

use crate::support::Database;
use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_added_while_nobody_looked_is_told_although_its_record_was_removed_since() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let url = receiver.url("/");
    subscribe(
        &database,
        "project.task",
        &url,
        &["--fields", "user_ids", "--domain", "[('name', 'like', 'Removed')]"],
    )
    .await;
    let service = Service::start(&database.url(), &[]);
    wait_until_leading(&database).await;
    database
        .psql("insert into project_task (id, name, state) values (901, 'Removed soon', '01_in_progress'), (902, 'Another that stays', '01_in_progress')")
        .await;
    receiver.wait_for(1, SOON).await;
    let (status, _) = service.terminate().await;
    assert!(status.success());
    for transaction in [
        "insert into project_task_user_rel (task_id, user_id) values (901, 2), (902, 2)",
        "delete from project_task_user_rel where task_id = 901",
        "delete from project_task where id = 901",
    ] {
        database.psql(transaction).await;
    }
    let _service = Service::start(&database.url(), &[]);
    let requests = receiver.wait_for(4, SOON).await;
    let mut told: Vec<String> = requests
        .iter()
        .map(|r| r.json())
        .map(|body| {
            format!(
                "{} {} {}",
                body["event_type"], body["record_ids"], body["changed_fields"]
            )
        })
        .collect();
    told.sort();
    assert_eq!(
        told[1..],
        [
            r#""unlink" [901] []"#,
            r#""write" [901] ["user_ids"]"#,
            r#""write" [901] ["user_ids"]"#,
        ],
        "of the one that the domain matches, each of its changes"
    );
}
