//! Settings that a database gives everybody, and that a session gives itself.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::super::oracle::Catalogue;
use super::super::script::{Step, ident};

/// What all sessions of a database begin with, ours among them.
pub fn random_defaults(random: &mut StdRng, settings: &[String]) -> Vec<Step> {
    let texts = [
        "set datestyle = 'German'",
        "set datestyle = 'SQL, DMY'",
        "set timezone = 'Asia/Kathmandu'",
        "set timezone = 'America/St_Johns'",
        "set search_path = hostile, public",
        "set search_path = public, pg_catalog",
        "set standard_conforming_strings = off",
        "set quote_all_identifiers = on",
        "set default_transaction_isolation = 'serializable'",
        "set default_transaction_isolation = 'repeatable read'",
        "set bytea_output = 'escape'",
        "set intervalstyle = 'iso_8601'",
        "set extra_float_digits = -15",
        "set array_nulls = off",
        "set row_security = off",
        "set jit_above_cost = 0",
        "set transform_null_equals = on",
    ];
    let count = random.random_range(1..5);
    (0..count)
        .map(|_| {
            let set = match settings.choose(random) {
                Some(set) if random.random_ratio(1, 2) => set.as_str(),
                _ => texts.choose(random).expect("not empty"),
            };
            Step::Setup {
                admin: true,
                sql: format!(
                    "do $set$ begin execute format('alter database %I ', current_database()) || $v${set}$v$; end $set$"
                ),
            }
        })
        .collect()
}

/// A setting of the session, or other things that it does to itself.
pub(super) fn setting(random: &mut StdRng, tables: &Catalogue) -> String {
    let settings = [
        "set datestyle = 'German'",
        "set datestyle = 'SQL, DMY'",
        "set datestyle = 'ISO, MDY'",
        "set timezone = 'Asia/Kathmandu'",
        "set timezone = 'UTC'",
        "set intervalstyle = 'iso_8601'",
        "set extra_float_digits = -15",
        "set extra_float_digits = 3",
        "set bytea_output = 'escape'",
        "set search_path = pg_catalog, public, pg_temp",
        "set search_path = hostile, public",
        "set search_path = public, pg_catalog",
        "set jit = on",
        "set jit_above_cost = 0",
        "set work_mem = '64kB'",
        "set enable_hashjoin = off",
        "set enable_mergejoin = off",
        "set enable_nestloop = off",
        "set enable_seqscan = off",
        "set enable_sort = off",
        "set plan_cache_mode = force_generic_plan",
        "set plan_cache_mode = force_custom_plan",
        "set default_transaction_isolation = 'repeatable read'",
        "set standard_conforming_strings = off",
        "set escape_string_warning = on",
        "set backslash_quote = on",
        "set quote_all_identifiers = on",
        "set row_security = on",
        "set lc_monetary = 'C'",
        "set xmloption = document",
        "set array_nulls = off",
        "set check_function_bodies = off",
        "set transform_null_equals = on",
        "set default_tablespace = ''",
        "set default_table_access_method = 'heap'",
        "set constraint_exclusion = on",
        "set force_parallel_mode = on",
        "set client_min_messages = debug1",
        "set client_min_messages = warning",
        "set xmlbinary = hex",
        "set tcp_keepalives_idle = 10",
        "set mcp.uid = '7'",
        "set mcp.uid = 'x; drop'",
        "set constraints all immediate",
        "set constraints all deferred",
        "set application_name = 'odoo-1'",
        "set plpgsql.extra_errors = 'all'",
        "set plpgsql.extra_warnings = 'all'",
        "set gin_fuzzy_search_limit = 1",
        "set exit_on_error = off",
        "set idle_in_transaction_session_timeout = 0",
        "set synchronous_commit = off",
        "set default_transaction_deferrable = on",
        "set cursor_tuple_fraction = 0.01",
        "set max_stack_depth = '1MB'",
        "set local_preload_libraries = ''",
        "set commit_siblings = 3",
        "set debug_print_parse = off",
        "reset all",
        "discard plans",
        "discard temp",
        "deallocate all",
        "create temporary table outbox_0 (id bigint)",
        "create temporary table new_rows (id integer, n integer)",
        "create temporary table old_rows (like pg_class)",
        "create temporary table pg_class (oid oid)",
        "listen odoo_eventd",
        "set role harness_writer",
        "set role harness_writer",
        "reset role",
    ];
    if random.random_ratio(1, 12)
        && let Some((name, _)) = tables.iter().next()
    {
        return format!("create temporary table {} (id integer)", ident(name));
    }
    (*settings.choose(random).expect("not empty")).to_owned()
}
