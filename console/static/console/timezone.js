/* Has pages of the admin show times in the browser's time zone: nms_project/middleware.py reads this cookie. */
"use strict";
document.cookie = `nms_timezone=${encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone)}; path=/admin/; max-age=31536000; samesite=lax`;
