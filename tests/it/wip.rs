use crate::support::*;
#[tokio::test(start_paused = true)]
async fn smoke() {
    let log = Log::default();
    let mut wire = connect(&log);
    wire.exchange(get("")).await.is(OK).and_is_open();
    let r = wire.exchange(get(&format!("{CU}Upgrade: nope, foo/3\r\n")) + "early").await;
    println!("{r:?} {:?}", log.take());
    r.is(&(switching("foo/3") + "[early]")).and_is_open();
}
