//! [`IntoOutcome`]: what the function on a connection returns.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::error::BoxError;

/// The return type of the function given to [`Switch::to`](crate::Switch::to): `()`, or `Result<(), E>` with any error.
///
/// # Example
///
/// ```
/// use tower_upgrade::IntoOutcome;
///
/// assert!(().into_outcome().is_ok());
/// assert!(Err::<(), _>(std::fmt::Error).into_outcome().is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "the function on a connection cannot return `{Self}`",
    label = "this returns `{Self}`",
    note = "it returns `()`, or `Result<(), E>` with any error: end the block with `Ok::<(), E>(())`, \
            or drop a value with `.map(drop)`",
    note = "a block that only loops returns `!`: put it into an `async fn` that returns \
            `std::io::Result<()>`"
)]
pub trait IntoOutcome {
    /// Converts the output of the function.
    ///
    /// # Errors
    ///
    /// Returns the function's error.
    fn into_outcome(self) -> Result<(), BoxError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E> IntoOutcome for Result<(), E>
where
    E: Into<BoxError>,
{
    fn into_outcome(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

pin_project! {
    /// Converts the output of the handler's future. An `async` block would hold that future twice:
    /// once as a captured variable, and once as the future that it awaits.
    pub(super) struct End<F> {
        #[pin]
        run: F,
    }
}

impl<F> End<F> {
    #[inline]
    pub(super) fn of(run: F) -> Self {
        Self { run }
    }
}

impl<F> Future for End<F>
where
    F: Future,
    F::Output: IntoOutcome,
{
    type Output = Result<(), BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx).map(IntoOutcome::into_outcome)
    }
}
