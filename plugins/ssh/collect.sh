# Read by `sh` on the host, busybox's included: everything a poll needs, from /proc, between marks.
LC_ALL=C; export LC_ALL
echo; echo @nms-stat; cat /proc/stat
echo @nms-meminfo; cat /proc/meminfo
echo @nms-net; cat /proc/net/dev
echo @nms-physical; ls -d /sys/class/net/*/device 2>/dev/null
echo @nms-uptime; cat /proc/uptime
echo @nms-hostname; cat /proc/sys/kernel/hostname
echo @nms-os; cat /etc/os-release 2>/dev/null; uname -sr
echo @nms-processes; set -- /proc/[0-9]*; echo $#
# Local disks only: asking after a network share that is gone would hang.
echo @nms-df; df -kP / $(awk '$1 ~ "^/dev/" && $3 != "squashfs" && $3 != "iso9660" {print $2}' /proc/mounts) 2>/dev/null
echo @nms-end
