//! demo
use crate::{args::DemoArgs, exit::Failure, print::Screen};
pub(crate) async fn run(_args: DemoArgs, _screen: &Screen) -> Result<(), Failure> {
    Err(Failure::bug("not yet"))
}
