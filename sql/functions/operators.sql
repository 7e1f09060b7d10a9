-- Purpose: for whom a door asks: which subscriptions he sees, and how the history names him.
-- Locks: none here; act_on() locks the row of one subscription, for whoever changes it next.
--
-- An operator comes as {"user_id", "connection", "sees_all", "models"}. He sees the subscriptions of his Odoo user, or those of
-- his connection where he has no user; with sees_all everybody's. Where he is bound to models, he sees of them only those of his
-- models, and only as far as they have read no other: bodies, domains and states tell of what was read. What he does not see is not
-- there for him: whoever asks for it hears the same as of a subscription that never was.
-- A connection may name the client behind it: 'anna / claude-code 2.1'. No connection's own name has ' /' in it (ops::tokens), so
-- what is before it is whose it is.

create or replace function odoo_eventd.is_within_reach(models jsonb, subscription integer) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from odoo_eventd.subscription_reach r
     where r.subscription_id = subscription and r.is_known
       and not exists (select from jsonb_array_elements(r.models) one_of
                        where not models ?| array(select jsonb_array_elements_text(one_of))))
$$;
comment on function odoo_eventd.is_within_reach(jsonb, integer) is
  'Whether a subscription has read records of these models alone, beside its own; false while that is not known.';
revoke all on function odoo_eventd.is_within_reach(jsonb, integer) from public;

drop function if exists odoo_eventd.sees(jsonb, integer, text, text);
create or replace function odoo_eventd.sees(operator jsonb, subscription public.mcp_event_subscription) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    ((operator ->> 'sees_all')::boolean
     or case when operator ->> 'user_id' is not null then (subscription).user_id = (operator ->> 'user_id')::integer
             else (subscription).user_id is null
                  and ((subscription).connection = operator ->> 'connection'
                       or starts_with((subscription).connection, (operator ->> 'connection') || ' / ')) end)
    and case when operator -> 'models' is null or operator -> 'models' = 'null' then true
             when not operator -> 'models' ? (subscription).model then false
             else odoo_eventd.is_within_reach(operator -> 'models', (subscription).id) end, false)
$$;
comment on function odoo_eventd.sees(jsonb, public.mcp_event_subscription) is
  'Whether an operator sees a subscription: whose it is, of which model, and which others it reads.';
revoke all on function odoo_eventd.sees(jsonb, public.mcp_event_subscription) from public;

create or replace function odoo_eventd.sees_everything(operator jsonb) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select coalesce((operator ->> 'sees_all')::boolean and (operator -> 'models' is null or operator -> 'models' = 'null'), false)
$$;
comment on function odoo_eventd.sees_everything(jsonb) is
  'Whether nothing is hidden from an operator, nor what is left of deleted subscriptions.';
revoke all on function odoo_eventd.sees_everything(jsonb) from public;

create or replace function odoo_eventd.seen_subscriptions(operator jsonb) returns integer[]
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when not odoo_eventd.sees_everything(operator) then array(
    select s.id from public.mcp_event_subscription s where odoo_eventd.sees(operator, s)) end
$$;
comment on function odoo_eventd.seen_subscriptions(jsonb) is
  'The subscriptions that an operator sees; null = whichever there are or were.';
revoke all on function odoo_eventd.seen_subscriptions(jsonb) from public;

create or replace function odoo_eventd.models_of(operator jsonb) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(operator -> 'models') = 'array'
    then array(select jsonb_array_elements_text(operator -> 'models')) end
$$;
comment on function odoo_eventd.models_of(jsonb) is
  'The models that an operator is bound to; null = all. What is kept of a subscription may be of a model that it had before.';
revoke all on function odoo_eventd.models_of(jsonb) from public;

create or replace function odoo_eventd.act_for(operator jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  -- For the history, until the transaction ends. One that logged in as himself is known by his login.
  if operator ->> 'user_id' is not null then
    perform set_config('mcp.uid', operator ->> 'user_id', true);
  end if;
  if operator ->> 'connection' is not null then
    perform set_config('application_name', left('odoo-eventd: ' || (operator ->> 'connection'), 63), true);
  end if;
end $$;
comment on function odoo_eventd.act_for(jsonb) is
  'Names the operator to the history of subscriptions, until the transaction ends.';
revoke all on function odoo_eventd.act_for(jsonb) from public;

create or replace function odoo_eventd.act_on(operator jsonb, subscription integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform from public.mcp_event_subscription s
    where s.id = subscription and odoo_eventd.sees(operator, s) for update;
  if not found then
    raise exception 'there is no subscription %', subscription using errcode = 'no_data_found';
  end if;
  perform odoo_eventd.act_for(operator);
  return subscription;
end $$;
comment on function odoo_eventd.act_on(jsonb, integer) is
  'The subscription, locked, if the operator sees it; else raises no_data_found. For the same statement as what is done to it.';
