/work/wt-bench/bench/target/release/deps/tower_upgrade_bench-0134354566e458b1.d: /work/wt-bench/clippy.toml src/main.rs src/client.rs src/figures.rs src/load.rs src/machine.rs src/process.rs src/tunnel.rs src/upstream.rs src/../tunnel/nginx.conf src/../tunnel/haproxy.cfg Cargo.toml

/work/wt-bench/bench/target/release/deps/libtower_upgrade_bench-0134354566e458b1.rmeta: /work/wt-bench/clippy.toml src/main.rs src/client.rs src/figures.rs src/load.rs src/machine.rs src/process.rs src/tunnel.rs src/upstream.rs src/../tunnel/nginx.conf src/../tunnel/haproxy.cfg Cargo.toml

/work/wt-bench/clippy.toml:
src/main.rs:
src/client.rs:
src/figures.rs:
src/load.rs:
src/machine.rs:
src/process.rs:
src/tunnel.rs:
src/upstream.rs:
src/../tunnel/nginx.conf:
src/../tunnel/haproxy.cfg:
Cargo.toml:

# env-dep:CLIPPY_ARGS=
# env-dep:CLIPPY_CONF_DIR
