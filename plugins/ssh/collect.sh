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
# Local file systems only: a network share that is gone would never answer. A local one may not answer either,
# so df comes last, and $hung holds the mount points to leave out. /proc/mounts writes blanks and backslashes
# in octal.
echo @nms-mounts
set --
while read -r device point type rest; do
    case "$type $point" in
        "squashfs "* | "iso9660 "* | "udf "*) continue ;;
        "zfs "* | "ubifs "* | "bcachefs "*) ;;
        # The root of a container or of a virtual machine may be on anything; the first entry may be that of the
        # initial RAM disk, which is gone.
        "rootfs /" | "nfs /" | "nfs4 /" | "cifs /" | "smb3 /" | "ceph /" | "fuse.sshfs /") continue ;;
        *" /") ;;
        *) case $device in /dev/*) ;; *) continue ;; esac ;;
    esac
    case "$hung" in *" $point "*) continue ;; esac
    printf '%s\n' "$point"
    case $point in *\\*) point=$(printf '%b' "$point") ;; esac
    set -- "$@" "$point"
done </proc/mounts
# A file that is mounted, as containers have them, is not a drive.
measure='echo @nms-dfpid; echo $$; echo @nms-df
for point; do shift; [ -d "$point" ] && set -- "$@" "$point"; done
[ $# = 0 ] || exec df -kP -- "$@"'
if [ "$one_by_one" ]; then
    for point; do sh -c "$measure" sh "$point" 2>/dev/null; done
else
    sh -c "$measure" sh "$@" 2>/dev/null
fi
echo @nms-end
