-- Changes a dead job: its arguments unless they are null, and its notes, of which those without a value go away. False if it is not
-- dead. The row's lock makes a replay wait, which then takes the job along as it is here.
create function {schema}.amend(p_id uuid, p_payload bytea, p_names text[], p_values bytea[]) returns boolean
language plpgsql as $$
begin
  perform from {schema}.dead d where d.id = p_id for update;
  if not found then return false; end if;
  if p_payload is not null then
    update {schema}.dead d set payload = p_payload where d.id = p_id;
  end if;
  perform {schema}.write_notes(p_id, p_names, p_values);
  return true;
end $$;
