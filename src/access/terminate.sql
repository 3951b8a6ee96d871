select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity
 where application_name = :'left_over' and pid <> pg_backend_pid();
do $$ begin
  perform pg_stat_clear_snapshot();
end $$;
select 1 / (count(*) = 0)::int from pg_stat_activity
 where application_name = :'left_over' and pid <> pg_backend_pid();
