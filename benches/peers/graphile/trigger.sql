-- How users of graphile-worker queue a webhook: a job for each changed row, in the writer's transaction.
create function queue_webhook() returns trigger language plpgsql as $$
begin
  perform graphile_worker.add_job('webhook', json_build_object(
    'event', 'write',
    'model', 'sale.order',
    'record_ids', json_build_array(new.id),
    'values', json_build_object('client_order_ref', new.client_order_ref)));
  return null;
end $$;

create trigger queue_webhook after update on sale_order for each row execute function queue_webhook();
