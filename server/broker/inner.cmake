# What the calls do: decoded requests in, answers out; generated protobuf in decode, dispatch, op_*
# and reply alone.
add_library(spawnd_broker_inner STATIC
	broker.c call.c climb.c decode.c decode_environment.c decode_spawn.c dispatch.c errmap.c exits.c
	keepsake.c op_await.c op_cancel.c op_inspect.c op_session.c op_spawn.c op_stream.c proctable.c
	refusal.c reply.c reply_info.c reply_record.c sessions.c shutdown.c stdin_feed.c streams.c)
spawnd_defaults(spawnd_broker_inner)
target_link_libraries(spawnd_broker_inner PRIVATE spawnd_proto spawnd_broker_tables spawnd_link
	spawnd_common PkgConfig::SODIUM)
