//! When an upstream wants to be called again.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// No wait is longer, whatever an upstream says.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// What `Retry-After` says, in seconds or as a date. A date is measured by the upstream's own clock, where it tells the
/// time.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse::<f64>() {
        let seconds = if seconds.is_nan() { return None } else { seconds.clamp(0.0, LONGEST.as_secs_f64()) };
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let now = text(DATE).and_then(date).unwrap_or_else(SystemTime::now);
    Some(date(after)?.duration_since(now).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    #[track_caller]
    fn check(after: &str, expected: Option<u64>) {
        let date = HeaderValue::from_static("Wed, 21 Oct 2015 07:28:00 GMT");
        let headers = [(RETRY_AFTER, HeaderValue::from_str(after).unwrap()), (DATE, date)];
        let found = super::retry_after(&HeaderMap::from_iter(headers));
        assert_eq!(found, expected.map(Duration::from_millis), "{after}");
    }

    #[test]
    fn seconds_and_dates_are_understood_and_nonsense_is_not() {
        check("0", Some(0));
        check(" 120 ", Some(120_000));
        check("1.5", Some(1500));
        check("-5", Some(0));
        check("99999999999999999999", Some(365 * 24 * 3_600_000));
        check("Wed, 21 Oct 2015 07:28:30 GMT", Some(30_000));
        check("Wednesday, 21-Oct-15 07:29:00 GMT", Some(60_000));
        check("Wed, 21 Oct 2015 07:00:00 GMT", Some(0));
        for nonsense in ["", "soon", "NaN", "Wed, 21 Oct"] {
            check(nonsense, None);
        }
    }

    #[test]
    fn a_date_without_a_clock_is_measured_by_ours() {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1));
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(&date).unwrap())]);
        let after = super::retry_after(&headers).unwrap();
        assert!((3500..=3600).contains(&after.as_secs()), "{after:?}");
    }
}
