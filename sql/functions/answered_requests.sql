-- Purpose: a request with an Idempotency-Key is done once, and a repetition within 24 hours gets the same answer.
-- Locks: one row of odoo_eventd.answered_request; a second request with its key waits until the first has claimed it.

drop function if exists odoo_eventd.claim_request(integer, text, bytea);
create function odoo_eventd.claim_request(of_token integer, of_key text, of_digest bytea)
returns table (outcome text, claim timestamptz, subscription_id integer, answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.answered_request;
  claimed timestamptz;
begin
  perform odoo_eventd.assert_listener();
  delete from odoo_eventd.answered_request r
   where (r.token_id, r.key) in (select o.token_id, o.key from odoo_eventd.answered_request o
                                  where o.claimed_at < now() - interval '24 hours' order by o.claimed_at
                                    limit 100 for update skip locked);
  -- A key is free after 24 hours, also while older ones are still to be forgotten.
  insert into odoo_eventd.answered_request as r (token_id, key, digest, claimed_at) values (of_token, of_key, of_digest, clock_timestamp())
    on conflict on constraint answered_request_pkey do update
       set digest = excluded.digest, claimed_at = excluded.claimed_at, subscription_id = null, answer = null
     where r.claimed_at < now() - interval '24 hours'
    returning r.claimed_at into claimed;
  if found then
    return query select 'claimed', claimed, null::integer, null::jsonb;
    return;
  end if;
  select * into known from odoo_eventd.answered_request r where r.token_id = of_token and r.key = of_key for update;
  if not found then
    -- Given back in between.
    return query select 'under_way', null::timestamptz, null::integer, null::jsonb;
  elsif known.digest <> of_digest then
    return query select 'other', null::timestamptz, null::integer, null::jsonb;
  elsif known.answer is not null or known.subscription_id is not null then
    return query select 'answered', known.claimed_at, known.subscription_id, known.answer;
  elsif known.claimed_at < now() - interval '2 minutes' then
    -- No request lasts so long: the process that had claimed it has died before it made anything.
    update odoo_eventd.answered_request r set claimed_at = clock_timestamp() where r.token_id = of_token and r.key = of_key
      returning r.claimed_at into claimed;
    return query select 'claimed', claimed, null::integer, null::jsonb;
  else
    return query select 'under_way', null::timestamptz, null::integer, null::jsonb;
  end if;
end $$;
comment on function odoo_eventd.claim_request(integer, text, bytea) is
  'claimed: do it; `claim` tells this claim from one that somebody takes over. answered: it was done, with this answer, or making '
  'this subscription. under_way: somebody does it. other: the key belongs to another request.';

drop function if exists odoo_eventd.made_by_request(integer, text, integer);
create or replace function odoo_eventd.made_by_request(of_token integer, of_key text, of_claim timestamptz, subscription integer)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.answered_request r set subscription_id = subscription
   where r.token_id = of_token and r.key = of_key and r.claimed_at = of_claim and r.subscription_id is null;
  if not found then
    raise exception 'the request with the key "%" is not under way', of_key using errcode = 'object_not_in_prerequisite_state';
  end if;
  return subscription;
end $$;
comment on function odoo_eventd.made_by_request(integer, text, timestamptz, integer) is
  'Notes what a claimed request has made; in the statement that makes it.';

drop function if exists odoo_eventd.settle_request(integer, text, jsonb);
create or replace function odoo_eventd.settle_request(of_token integer, of_key text, of_claim timestamptz, of_answer jsonb)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  if of_answer is null then
    -- What was made stays noted, whatever failed afterwards: a repetition is told of it and makes no second one.
    delete from odoo_eventd.answered_request r
     where r.token_id = of_token and r.key = of_key and r.claimed_at = of_claim and r.subscription_id is null;
  else
    update odoo_eventd.answered_request r set answer = of_answer
     where r.token_id = of_token and r.key = of_key and r.claimed_at = of_claim;
  end if;
end $$;
comment on function odoo_eventd.settle_request(integer, text, timestamptz, jsonb) is
  'Keeps the answer of a claimed request; null = it failed, and the key is free again unless it has made something.';
