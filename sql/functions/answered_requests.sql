-- Purpose: a request with an Idempotency-Key is done once, and a repetition within 24 hours gets the same answer.
-- Locks: one row of odoo_eventd.answered_request; a second request with its key waits until the first has claimed it.

create or replace function odoo_eventd.claim_request(of_token integer, of_key text, of_digest bytea)
returns table (outcome text, subscription_id integer, answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.answered_request;
begin
  perform odoo_eventd.assert_listener();
  delete from odoo_eventd.answered_request r
   where (r.token_id, r.key) in (select o.token_id, o.key from odoo_eventd.answered_request o
                                  where o.claimed_at < now() - interval '24 hours' order by o.claimed_at
                                    limit 100 for update skip locked);
  insert into odoo_eventd.answered_request (token_id, key, digest) values (of_token, of_key, of_digest) on conflict do nothing;
  if found then
    return query select 'claimed', null::integer, null::jsonb;
    return;
  end if;
  select * into known from odoo_eventd.answered_request r where r.token_id = of_token and r.key = of_key for update;
  if not found then
    -- Given back in between.
    return query select 'under_way', null::integer, null::jsonb;
  elsif known.digest <> of_digest then
    return query select 'other', null::integer, null::jsonb;
  elsif known.answer is not null or known.subscription_id is not null then
    return query select 'answered', known.subscription_id, known.answer;
  elsif known.claimed_at < now() - interval '2 minutes' then
    -- No request lasts so long: the process that had claimed it has died before it made anything.
    update odoo_eventd.answered_request r set claimed_at = now() where r.token_id = of_token and r.key = of_key;
    return query select 'claimed', null::integer, null::jsonb;
  else
    return query select 'under_way', null::integer, null::jsonb;
  end if;
end $$;
comment on function odoo_eventd.claim_request(integer, text, bytea) is
  'claimed: do it. answered: it was done, with this answer, or making this subscription. under_way: somebody does it. other: '
  'the key belongs to another request.';

create or replace function odoo_eventd.made_by_request(of_token integer, of_key text, subscription integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.answered_request r set subscription_id = subscription
   where r.token_id = of_token and r.key = of_key and r.subscription_id is null;
  if not found then
    raise exception 'the request with the key "%" is not under way', of_key using errcode = 'object_not_in_prerequisite_state';
  end if;
  return subscription;
end $$;
comment on function odoo_eventd.made_by_request(integer, text, integer) is
  'Notes what a claimed request has made; in the statement that makes it.';

create or replace function odoo_eventd.settle_request(of_token integer, of_key text, of_answer jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  if of_answer is null then
    delete from odoo_eventd.answered_request r where r.token_id = of_token and r.key = of_key and r.answer is null;
  else
    update odoo_eventd.answered_request r set answer = of_answer where r.token_id = of_token and r.key = of_key;
  end if;
end $$;
comment on function odoo_eventd.settle_request(integer, text, jsonb) is
  'Keeps the answer of a claimed request; null = nothing was done, and the key is free again.';
