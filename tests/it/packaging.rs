//! What is shipped beside the program fits the program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::health;
use odoo_eventd::metrics::Metrics;

use crate::support::documents::{assert_links_lead_somewhere, documents};
use crate::support::program::run;
use crate::support::service::program;

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".packaging").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(packaging(name)).unwrap()
}

/// The operator's page from the runbook on, which is its end.
fn runbook() -> String {
    let page = read("OPERATE.md");
    let (_, runbook) = page.split_once("\n## Runbook\n").expect("the runbook");
    runbook.to_owned()
}

/// Samples that a service can export.
fn exported() -> BTreeSet<String> {
    let metrics = Metrics::default();
    let text = metrics.encode();
    let mut names = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            "gauge" => &[""],
            other => panic!("{name} is a {other}"),
        };
        names.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    names
}

/// Words of a text that begin as our metrics do.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("odoo_eventd_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_that_alerts_dashboard_and_runbook_name_is_exported() {
    let exported = exported();
    for (file, text) in [
        ("alerts.yml", read("alerts.yml")),
        ("grafana-dashboard.json", read("grafana-dashboard.json")),
        ("the runbook", runbook()),
    ] {
        let named = named(&text);
        assert!(!named.is_empty(), "{file}");
        let unknown: Vec<_> = named.difference(&exported).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    let _: serde_json::Value = serde_json::from_str(&read("grafana-dashboard.json")).unwrap();
}

/// What the package is made of is there, or made by `make package`; and what the unit points to is among it.
#[test]
fn the_package_holds_every_document() {
    let root = packaging("..");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let scratch = Scratch::new(None).unwrap();
    let written = Command::new(packaging("documents"))
        .arg(scratch.path())
        .status()
        .unwrap();
    assert!(written.success());
    let mut shipped = BTreeSet::new();
    for asset in assets {
        let (source, target) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        if let Some(page) = source.strip_prefix("target/package/doc/") {
            assert!(scratch.path().join(page).exists(), "{page}");
            let place = Path::new(page).parent().unwrap().to_str().unwrap();
            let place = if place.is_empty() {
                place.to_owned()
            } else {
                format!("{place}/")
            };
            assert_eq!(target, format!("usr/share/doc/odoo-eventd/{place}"));
            shipped.insert(page.to_owned());
        } else if !source.starts_with("target/") {
            assert!(root.join(source).exists(), "{source}");
        }
    }
    assert_eq!(shipped, documents(scratch.path()));
    let unit = read("odoo-eventd.service");
    let (_, named) = unit.split_once("file:///usr/share/doc/odoo-eventd/").unwrap();
    assert!(shipped.contains(named.lines().next().unwrap()));
    // Beside them in the package.
    std::fs::copy(packaging("alerts.yml"), scratch.path().join("alerts.yml")).unwrap();
    for picture in ["page-dashboard.png", "page-delivery.png", "page-subscriptions.png"] {
        std::fs::copy(packaging(picture), scratch.path().join(picture)).unwrap();
    }
    std::fs::copy(root.join("LICENSE"), scratch.path().join("copyright")).unwrap();
    assert_links_lead_somewhere(scratch.path());
}

/// Reads YAML; `None`, with a word, where that cannot be done here.
async fn parse(text: String) -> Option<serde_json::Value> {
    let look = "import sys, json\ntry:\n import yaml\nexcept ImportError:\n print('null')\nelse:\n json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let printed = run("python3", &["-c", look], text.as_bytes()).await?;
    let parsed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    if parsed.is_null() {
        eprintln!("skipped: python3 has no yaml");
        return None;
    }
    Some(parsed)
}

#[tokio::test]
async fn the_alerts_are_yaml_and_complete() {
    let Some(alerts) = parse(read("alerts.yml")).await else {
        return;
    };
    for rule in alerts["groups"][0]["rules"].as_array().unwrap() {
        for key in [
            "/alert",
            "/expr",
            "/for",
            "/labels/severity",
            "/annotations/summary",
            "/annotations/runbook",
        ] {
            assert!(
                rule.pointer(key).is_some_and(serde_json::Value::is_string),
                "{key} of {rule}"
            );
        }
    }
}

/// What Compose itself would refuse, and what it would take and only fail at once it runs.
#[tokio::test]
async fn the_compose_file_names_only_what_is_there() {
    let compose = std::fs::read_to_string(packaging("../docker-compose.yml")).unwrap();
    let Some(compose) = parse(compose).await else { return };
    let services = compose["services"].as_object().unwrap();
    let volumes = compose["volumes"].as_object().unwrap();
    let mut built_for = None;
    for (name, service) in services {
        for (other, needs) in service["depends_on"].as_object().into_iter().flatten() {
            let met = match needs["condition"].as_str().unwrap() {
                "service_healthy" => services[other]["healthcheck"].is_object(),
                // Only what ends can be waited for like this.
                "service_completed_successfully" => services[other]["restart"].is_null(),
                unknown => panic!("{name}: {unknown}"),
            };
            assert!(met, "{name} waits for {other}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().unwrap().split(':').next().unwrap();
            assert!(volumes.contains_key(volume), "{name}: {volume}");
        }
        if service["image"] != "odoo-eventd" {
            continue;
        }
        // Built for one service, the first that needs it. Two that build it at once fail: `image "odoo-eventd": already exists`.
        if service["build"].is_null() {
            assert_eq!(service["pull_policy"], "never", "{name}");
        } else {
            let dockerfile = service["build"]["dockerfile"].as_str().unwrap();
            assert!(packaging("..").join(dockerfile).exists(), "{dockerfile}");
            assert_eq!(built_for.replace(name), None, "{name}");
        }
        // As it is said there, though nothing is run.
        let command = service["command"].as_array().unwrap();
        let asked = program()
            .args(command.iter().map(|word| word.as_str().unwrap()))
            .arg("--help")
            .output();
        let output = asked.await.unwrap();
        assert!(output.status.success(), "{name}: {command:?}");
    }
    assert_eq!(built_for.map(String::as_str), Some("eventd-install"));
    let help = program().args(["run", "--help"]).output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for variable in services["eventd"]["environment"].as_object().unwrap().keys() {
        assert!(help.contains(variable.as_str()), "nobody reads {variable}");
    }
}

/// The instructions of the Dockerfile, continued lines joined, in stages.
fn stages() -> Vec<Vec<(String, String)>> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let mut stages = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (instruction, rest) = line.split_once(' ').unwrap();
        if instruction == "FROM" {
            stages.push(Vec::new());
        }
        let stage = stages.last_mut().expect("FROM comes first");
        stage.push((instruction.to_owned(), rest.to_owned()));
    }
    stages
}

/// There need not be any Docker: the stage that builds is acted out with what it copies and nothing else, up to the compiler.
#[test]
fn the_images_build_has_all_that_it_copies_and_copies_all_that_it_needs() {
    let stages = stages();
    assert_eq!(stages.len(), 2);
    let of = |stage: usize, wanted: &'static str| {
        stages[stage]
            .iter()
            .filter(move |(instruction, _)| instruction == wanted)
            .map(|(_, rest)| rest.as_str())
    };
    let scratch = Scratch::new(None).unwrap();
    let root = packaging("..");
    for copy in of(0, "COPY") {
        let mut words: Vec<&str> = copy.split_whitespace().collect();
        let target = scratch.path().join(words.pop().unwrap());
        for source in words {
            let copied = Command::new("cp")
                .arg("-R")
                .arg(root.join(source))
                .arg(&target)
                .status()
                .unwrap();
            assert!(copied.success(), "COPY {copy}");
        }
    }
    // Reads the manifest, looks for every target that it names, and holds the lock file against it.
    let read = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let read: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    let binaries: Vec<&str> = read["packages"][0]["targets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|target| target["kind"][0] == "bin")
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(binaries, ["odoo-eventd"]);
    // What the source includes as text.
    let mut looked_at = 0;
    for file in sources(&scratch.path().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for included in text.split("include_str!(\"").skip(1) {
            let included = included.split('"').next().unwrap();
            let path = file.parent().unwrap().join(included);
            assert!(path.exists(), "{} includes {included}", file.display());
            looked_at += 1;
        }
    }
    assert!(looked_at > 10, "{looked_at}");
    // The second stage takes what the first one makes.
    let built = of(0, "RUN").any(|run| run == "cargo build --release --locked --bin odoo-eventd");
    let workdir = of(0, "WORKDIR").next().unwrap();
    let taken = format!("--from=build {workdir}/target/release/odoo-eventd /usr/local/bin/");
    assert!(built && of(1, "COPY").eq([taken.as_str()]));
    assert!(of(1, "ENTRYPOINT").eq([r#"["odoo-eventd"]"#]) && of(1, "CMD").eq([r#"["run"]"#]));
    // By number, as Kubernetes' runAsNonRoot needs it, and not root's.
    let user = of(1, "USER").next().unwrap().split(':').next().unwrap();
    assert!(user.parse::<u32>().is_ok_and(|user| user > 0), "{user}");
}

/// All Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown = named(&read("grafana-dashboard.json"));
    let hidden: Vec<String> = exported()
        .into_iter()
        .filter(|name| {
            // A histogram's other samples and the version are for who asks for them.
            !shown.contains(name) && !name.ends_with("_sum") && !name.ends_with("_count") && !name.ends_with("_info")
        })
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn every_alert_and_every_finding_has_its_paragraph_for_the_night_shift() {
    let runbook = runbook();
    let headings: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = read("alerts.yml");
    let alerts: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 10);
    let told: BTreeSet<&str> = alerts.iter().copied().chain(health::CODES).collect();
    assert_eq!(headings, told);
    for alert in alerts {
        let paragraph = runbook.split(&format!("### {alert}\n")).nth(1).unwrap();
        let paragraph = paragraph.split("\n### ").next().unwrap();
        for part in ["*Means*", "*Look at*", "*Do*"] {
            assert!(paragraph.contains(part), "{alert} lacks {part}");
        }
    }
}

#[tokio::test]
async fn the_default_configuration_is_read_and_says_the_defaults() {
    let printed = |path: PathBuf| async move {
        let output = program()
            .env_remove("ODOO_EVENTD_ALLOW_NETWORKS")
            .args([
                "--database-url",
                "postgres://localhost/odoo",
                "run",
                "--print-config",
                "--config",
            ])
            .arg(path)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        config["settings"].clone()
    };
    let shipped = printed(packaging("config.toml")).await;
    assert_eq!(shipped["listen_http"], "127.0.0.1:9464");

    // With everything uncommented it still reads, names every setting, and changes nothing but the examples.
    let scratch = Scratch::new(None).unwrap();
    let uncommented: String = read("config.toml")
        .lines()
        .map(|line| match line.strip_prefix('#') {
            // Files that are not here.
            Some(setting)
                if ["ca_file", "secret_key_file", "state_directory"]
                    .iter()
                    .any(|file| setting.starts_with(file)) =>
            {
                format!("{line}\n")
            }
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let all = printed(scratch.write("config.toml", &uncommented).unwrap()).await;
    for (name, value) in shipped.as_object().unwrap() {
        let (setting, section) = (format!("{name} = "), format!("[{name}]"));
        assert!(
            uncommented.contains(&setting) || uncommented.contains(&section),
            "{name} is not in the file"
        );
        if !["allow_networks", "allow_ports", "allow_callback_networks", "log"].contains(&name.as_str()) {
            assert_eq!(all[name], *value, "{name}");
        }
    }
}

#[test]
fn the_unit_is_valid_and_hardened() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    };
    let version: u32 = String::from_utf8(version.stdout)
        .unwrap()
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap();
    if version < 252 {
        eprintln!("skipped: systemd {version} cannot look at units offline");
        return;
    }
    let scratch = Scratch::new(None).unwrap();
    // Where it is checked the program and its manual are not installed.
    let unit = read("odoo-eventd.service")
        .replace(
            "ExecStart=/usr/bin/odoo-eventd",
            &format!("ExecStart={}", env!("CARGO_BIN_EXE_odoo-eventd")),
        )
        .replace("Documentation=man:odoo-eventd(1) ", "Documentation=");
    let path = scratch.write("odoo-eventd.service", &unit).unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        verified.status.success() && verified.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    // The scale goes from 0, nothing exposed, to 100.
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=15", "--no-pager"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}

#[test]
fn the_manual_and_the_completions_know_every_command() {
    let eventd = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_odoo-eventd"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let help = eventd(&["--help"]);
    let commands: Vec<&str> = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")?
                .split_whitespace()
                .next()
                .filter(|_| !line.starts_with("   "))
        })
        .collect();
    assert!(
        commands.contains(&"doctor") && commands.contains(&"run"),
        "{commands:?}"
    );
    let manual = eventd(&["man"]);
    assert!(manual.contains(".TH odoo-eventd 1"));
    for shell in ["bash", "zsh", "fish"] {
        let completions = eventd(&["completions", shell]);
        for command in &commands {
            assert!(completions.contains(command), "{shell}: {command}");
        }
    }
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(
            manual.contains(&format!(".SH \"{}\"", command.to_uppercase())),
            "{command}"
        );
    }
    assert!(manual.contains("log\\-retention\\-days"));
}

#[test]
fn alerts_go_by_the_limits_of_the_other_judges() {
    let alerts = include_str!("../../.packaging/alerts.yml");
    for condition in [
        format!(
            "outbox_bytes / odoo_eventd_outbox_max_bytes > {}",
            health::limits::OUTBOX_WARNING
        ),
        format!(
            "outbox_bytes / odoo_eventd_outbox_max_bytes > {}",
            health::limits::OUTBOX_WRONG
        ),
        format!("capture_age_seconds > {}", health::limits::ALARM_AFTER.as_secs()),
        format!("oldest_due_age_seconds > {}", health::limits::ALARM_AFTER.as_secs()),
        format!("notify_queue_ratio > {}", health::limits::NOTIFY_QUEUE_WARNING),
    ] {
        assert!(alerts.contains(&condition), "{condition}");
    }
}
