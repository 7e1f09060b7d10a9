//! Connections: one place that reads connection strings, sets up TLS and names what it connects to without its password.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, config::Host};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::sqlstate::{BAD_LOGIN, NO_SUCH_DATABASE, PROTOCOL, SERVER_STARTING};
use super::tls::{Mode, TlsOptions};
use crate::{Error, Result};

/// The oldest PostgreSQL that is supported, as `server_version_num`.
const OLDEST_SERVER: i32 = 130_000;

/// How long one attempt to connect may take; the caller tries again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that does not say within that time whether it restarted is taken for one that did.
const RESTART_ASKED_WITHIN: Duration = Duration::from_secs(3);

/// What holds in every session before its first statement, whatever the database, the role or the URL's own `options` say.
///
/// Whoever may make an object in a schema of somebody's path could make one that suits our statements better than what they mean: a
/// function for other types of arguments, an operator, a view. So names are looked for in the catalogue alone, and a session's temporary
/// objects, which else come first, come last. The rest decides how SQL and the values in it are read, and what `format_type` says.
///
/// They come with the connection, and are not statements: a pooler in transaction mode would leave a session with that path to Odoo,
/// whose statements find no table then. PgBouncer knows such options of none but a few settings and refuses the others. It gets none, and
/// our statements have to do without: each names the schema of whatever it uses, operators too (`tests/it/rights.rs`).
const PINNED: &str = "-c search_path=pg_catalog,pg_temp -c quote_all_identifiers=off -c standard_conforming_strings=on \
     -c backslash_quote=safe_encoding -c transform_null_equals=off -c array_nulls=on -c datestyle=ISO,YMD -c intervalstyle=postgres \
     -c bytea_output=hex -c extra_float_digits=1 -c default_transaction_isolation=read\\ committed";

/// What every session begins with.
///
/// Keepalives as on our side, where they are part of the connection's settings: a server that never hears of the connection's end would
/// keep the session, and the locks it holds, for the two hours that an operating system takes.
///
/// Compiling a thousand comparisons of a domain to machine code costs more than they do.
///
/// Many set `synchronous_commit = off` for Odoo's speed. Ours must be on disk all the same: a claim that a crash takes back would be
/// sent a second time. `local` is all that is asked for then; whoever wants to wait for replicas has said so by another value. It is set
/// in any case, so that a reload of the server's settings does not change it.
///
/// Names of types are compared: some databases have them quoted.
const SESSION: &str = "set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; \
     set tcp_user_timeout = 30000; set jit = off; set quote_all_identifiers = off; \
     select pg_catalog.set_config('synchronous_commit', \
                pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), 'off', 'local'), false)";

/// What arrives at a session unasked; see [`Database::connect_lead`].
pub type Notifications = mpsc::UnboundedReceiver<Result<String>>;
type Connection = tokio_postgres::Connection<
    tokio_postgres::Socket,
    <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
>;

/// A database that can be connected to. Cheap to clone; prints itself without the password.
#[derive(Clone)]
pub struct Database {
    config: Config,
    /// The same with [`PINNED`].
    pinned: Config,
    /// Whatever is between us and the server refuses connections that bring options.
    refuses_options: Arc<AtomicBool>,
    tls: MakeRustlsConnect,
    mode: Mode,
}

impl Database {
    /// Reads a connection string: a `postgres://` URL or `key=value` pairs, as libpq takes them.
    ///
    /// `sslmode`, `sslrootcert`, `sslcert` and `sslkey` mean what they mean to libpq; see [`super::tls`].
    ///
    /// # Errors
    /// [`Error::is_usage`] if it cannot be read, or names no database. The text itself never enters the error.
    pub fn parse(connection_string: &str) -> Result<Self> {
        let hint = "for example postgres://odoo_eventd_listener@localhost/odoo";
        let (tls, connection_string) = TlsOptions::extract(connection_string)?;
        let mut config: Config = connection_string.parse().map_err(|error: tokio_postgres::Error| {
            // Only the parser's own words: they name the wrong key, never a value.
            Error::usage("cannot read the database URL")
                .with_source(error)
                .with_hint(hint)
        })?;
        if config.get_dbname().is_none() {
            return Err(Error::usage("the database URL names no database").with_hint(hint));
        }
        if config.get_hosts().is_empty() {
            config.host("localhost");
        }
        config.ssl_mode(tls.driver_mode());
        config.connect_timeout(CONNECT_TIMEOUT);
        config.keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("odoo-eventd");
        }
        let mut pinned = config.clone();
        // The last of several is the one that counts.
        pinned.options(match config.get_options() {
            Some(own) => format!("{own} {PINNED}"),
            None => PINNED.to_owned(),
        });
        Ok(Self {
            config,
            pinned,
            refuses_options: Arc::default(),
            tls: MakeRustlsConnect::new(tls.client_config()?),
            mode: tls.mode,
        })
    }

    /// The same, where a statement that lasts longer is cut off. Through a pooler that refuses options none is.
    #[must_use]
    pub fn cutting_off_after(mut self, longest: Duration) -> Self {
        let options = self.pinned.get_options().unwrap_or_default();
        let limited = format!("{options} -c statement_timeout={}", longest.as_millis());
        self.pinned.options(limited);
        self
    }

    /// The name of the database in the connection string.
    pub fn name(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// How much its connections are protected.
    pub fn tls_mode(&self) -> Mode {
        self.mode
    }

    /// Connects; the connection ends when the client is dropped.
    ///
    /// # Errors
    /// [`Error::is_transient`] when the server cannot be reached or refuses; [`Error::unfit`] when it is older than 13.
    pub async fn connect(&self) -> Result<Client> {
        let (client, connection) = self.establish().await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the client; there is nothing to supervise or restart"
        )]
        tokio::spawn(async move {
            // What went wrong reaches whoever awaits an answer; here nobody listens any more.
            let _ = connection.await;
        });
        self.introduce(&client).await?;
        Ok(client)
    }

    /// Connects the session that leads. What it is told unasked arrives at the receiver: the payload of each notification, and, as the
    /// last item, the error with which the connection ended, if there was one. It ends when the session is dropped.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn connect_lead(&self) -> Result<(deadpool_postgres::Object, Notifications)> {
        let (client, mut connection) = self.establish().await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the connection, and says so through the channel"
        )]
        let driver = tokio::spawn(async move {
            loop {
                let message = std::future::poll_fn(|cx| connection.poll_message(cx)).await;
                let item = match message {
                    Some(Ok(AsyncMessage::Notification(n))) => Ok(n.payload().to_owned()),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => Err(Error::database("listen for notifications", error)),
                    None => return,
                };
                let ended = item.is_err();
                // A connection with nobody listening still has to be driven to its end.
                let _ = sender.send(item);
                if ended {
                    return;
                }
            }
        });
        self.introduce(&client).await?;
        // Wrapped as those of a pool are, so that it keeps prepared statements as they do. This pool ends here: the session is in none.
        let ready = Ready(Mutex::new(Some((client, driver))));
        let manager = deadpool_postgres::Manager::from_connect(self.config.clone(), ready, POOLED);
        let lead = pool_of(manager, 1)?
            .get()
            .await
            .map_err(|e| Error::database(format_args!("set up a session of {self}"), e))?;
        Ok((lead, receiver))
    }

    /// The time limit is for all of it: the driver's own ends with the TCP connection, and whoever accepts that may stay silent.
    async fn establish(&self) -> Result<(Client, Connection)> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.open())
            .await
            .map_err(|_| {
                Error::database(format_args!("connect to {self}"), "it did not answer in time")
                    .with_hint("check that it is PostgreSQL that listens there, and what is in between")
            })?
            .map_err(|e| self.refused(e))
    }

    /// With what every session is to have; without, where that is refused.
    async fn open(&self) -> std::result::Result<(Client, Connection), tokio_postgres::Error> {
        if !self.refuses_options.load(Ordering::Relaxed) {
            match self.pinned.connect(self.tls.clone()).await {
                Err(error) if is_about_options(&error) => self.refuses_options.store(true, Ordering::Relaxed),
                opened => return opened,
            }
        }
        self.config.connect(self.tls.clone()).await
    }

    /// Whether the server as a whole went down, or is on its way down or up, and not only this database is in somebody's way: it refuses
    /// everybody, or was started at another time than the one that served us. It is another database that is asked for: whoever
    /// wants this one for himself must not meet a session there.
    pub async fn has_restarted(&self, started_at: Option<Timestamp>) -> bool {
        let mut elsewhere = self.clone();
        elsewhere.config.dbname("postgres");
        elsewhere.pinned.dbname("postgres");
        let asked = async {
            let (client, connection) = match elsewhere.open().await {
                Ok(connected) => connected,
                Err(error) => {
                    return SERVER_STARTING.of(&error) || (error.code().is_none() && !is_about_certificates(&error));
                }
            };
            let asked = async {
                let now = server_start(&client).await;
                drop(client);
                now
            };
            // The connection ends with its client.
            let (now, _) = tokio::join!(asked, connection);
            matches!((started_at, now), (Some(then), Ok(now)) if then != now)
        };
        tokio::time::timeout(RESTART_ASKED_WITHIN, asked).await.unwrap_or(true)
    }

    /// A pool of at most `size` connections, made when they are first needed.
    ///
    /// # Errors
    /// Never in practice: the pool's builder refuses only combinations that are not used here.
    pub fn pool(&self, size: usize) -> Result<deadpool_postgres::Pool> {
        let manager = deadpool_postgres::Manager::from_connect(self.config.clone(), Opened(self.clone()), POOLED);
        pool_of(manager, size)
    }

    /// Asks the server to stop what a session is doing.
    pub async fn cancel(&self, token: &tokio_postgres::CancelToken) {
        // Best effort by nature: the statement may have ended meanwhile.
        let _ = match self.config.get_ssl_mode() {
            tokio_postgres::config::SslMode::Disable => token.cancel_query(NoTls).await,
            _ => token.cancel_query(self.tls.clone()).await,
        };
    }

    pub(super) fn refused(&self, error: tokio_postgres::Error) -> Error {
        let hint = match error.code() {
            Some(_) if BAD_LOGIN.of(&error) => "check the user and the password in the database URL",
            Some(_) if NO_SUCH_DATABASE.of(&error) => "check the database's name: `psql -l` lists those there are",
            Some(_) => "the server answered and refused; its message says why",
            None if error.to_string().contains("password missing") => {
                "the server asks for a password and the database URL has none"
            }
            None if is_about_certificates(&error) => {
                "the server's certificate is not what sslmode and sslrootcert in the database URL ask for"
            }
            None => "check that PostgreSQL runs there and accepts connections from here",
        };
        Error::database(format_args!("connect to {self}"), error).with_hint(hint)
    }

    async fn introduce(&self, client: &Client) -> Result<()> {
        self.require_version(client).await?;
        client
            .batch_execute(SESSION)
            .await
            .map_err(|error| Error::database(format_args!("set up a session of {self}"), error))
    }

    /// Refuses a server that is too old.
    pub(super) async fn require_version(&self, client: &Client) -> Result<()> {
        let row = client
            .query_one(
                "select pg_catalog.current_setting('server_version_num')::integer, pg_catalog.current_setting('server_version')",
                &[],
            )
            .await
            .map_err(|error| Error::database(format_args!("ask {self} for its version"), error))?;
        if row.get::<_, i32>(0) < OLDEST_SERVER {
            return Err(Error::unfit(format!(
                "{self} runs PostgreSQL {}, and odoo-eventd needs 13 or later",
                row.get::<_, String>(1)
            )));
        }
        Ok(())
    }
}

/// When the server that a session is in was started.
///
/// # Errors
/// Database errors.
pub async fn server_start(client: &Client) -> Result<Timestamp> {
    let row = client
        .query_one("select pg_catalog.pg_postmaster_start_time()", &[])
        .await
        .map_err(|e| Error::database("ask when the server was started", e))?;
    Ok(row.get(0))
}

/// PgBouncer's words: `unsupported startup parameter: options`, and since 1.20 `unsupported startup parameter in options: search_path`.
fn is_about_options(error: &tokio_postgres::Error) -> bool {
    let said = error.as_db_error().map(tokio_postgres::error::DbError::message);
    PROTOCOL.of(error) && said.is_some_and(|said| said.contains("startup parameter"))
}

/// rustls' errors come wrapped in an I/O error, which tells the errors below its own.
fn is_about_certificates(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        let io = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if io.is_some_and(|inner| matches!(inner.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))) {
            return true;
        }
        cause = current.source();
    }
    false
}

const POOLED: deadpool_postgres::ManagerConfig = deadpool_postgres::ManagerConfig {
    recycling_method: deadpool_postgres::RecyclingMethod::Fast,
};

fn pool_of(manager: deadpool_postgres::Manager, size: usize) -> Result<deadpool_postgres::Pool> {
    deadpool_postgres::Pool::builder(manager)
        .max_size(size)
        // The one used last goes first, so that those there is no work for are seen to be unused.
        .queue_mode(deadpool_postgres::QueueMode::Lifo)
        .post_create(deadpool_postgres::Hook::async_fn(|client, _| {
            Box::pin(async move {
                client
                    .batch_execute(SESSION)
                    .await
                    .map_err(deadpool_postgres::HookError::Backend)
            })
        }))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .build()
        .map_err(|error| Error::other("cannot make a connection pool").with_source(error))
}

/// Connects as [`Database::connect`] does.
struct Opened(Database);

impl deadpool_postgres::Connect for Opened {
    fn connect(&self, _config: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        Box::pin(async move {
            let (client, connection) = self.0.open().await?;
            #[expect(
                clippy::disallowed_methods,
                reason = "ends with the client; the pool keeps it to know when the connection has ended"
            )]
            let driver = tokio::spawn(async move {
                // What went wrong reaches whoever awaits an answer.
                let _ = connection.await;
            });
            Ok((client, driver))
        })
    }
}

/// "Connects" once, to what is connected already.
struct Ready(Mutex<Option<(Client, JoinHandle<()>)>>);

type Connected = std::result::Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl deadpool_postgres::Connect for Ready {
    fn connect(&self, _config: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let ready = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            match ready {
                Some(connected) => Ok(connected),
                // Its pool is asked once and then gone; were it asked again, its time limit would end this.
                None => std::future::pending().await,
            }
        })
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database \"{}\" on ", self.name())?;
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => write!(f, "{host}:{}", self.config.get_ports().first().copied().unwrap_or(5432)),
            #[cfg(unix)]
            Some(Host::Unix(path)) => write!(f, "{}", path.display()),
            None => write!(f, "localhost"),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_prints_without_its_password() {
        let database = Database::parse("postgres://odoo:s3cret@db.example:6432/prod").unwrap();
        assert_eq!(database.to_string(), "database \"prod\" on db.example:6432");
        assert!(!format!("{database:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_pinned_comes_behind_the_options_of_the_connection_string() {
        let url = "postgres://odoo@db.example/prod?options=-c%20search_path%3Dpublic%20-c%20statement_timeout%3D5s";
        let database = Database::parse(url).unwrap();
        assert_eq!(
            database.pinned.get_options(),
            Some(format!("-c search_path=public -c statement_timeout=5s {PINNED}").as_str())
        );
    }

    #[test]
    fn a_malformed_connection_string_is_wrong_use_and_is_not_repeated() {
        for text in [
            "postgres://odoo:s3cret@host:port/db",
            "host=db password=s3cret",
            "s3cret",
        ] {
            let error = Database::parse(text).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(!error.chain().contains("s3cret"), "{}", error.chain());
        }
    }
}
