#!/bin/sh
# SPDX-License-Identifier: MIT
# idle.sh: however the daemon waits for requests, a mount that nobody uses costs
# no processor time, and keeps no processor awake; and what must wait for a disk
# does not hold up other requests.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

ways='auto hold spin sleep'

# Of the daemon of $mnt.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$(daemon_pid "$mnt")/stat"
}

# How often its threads went to sleep.
switches() {
	cat "/proc/$(daemon_pid "$mnt")"/task/*/status |
		awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }'
}

# Enough requests in close order.
work() {
	dd if=/dev/zero of="$mnt/file" bs=1 count=10000 status=none
}

claim_transport() {
	claim_number "wakeup=$wakeup: $1" \
		"$(figure "$mnt" "transport.$2")" "$3" "$4"
}

for wakeup in $ways; do
	mnt=$scratch/$wakeup
	shalefs mkfs "$scratch/store-$wakeup"
	start_mount "$scratch/store-$wakeup" "$mnt" "wakeup=$wakeup"
	work
	claim_transport "requests are received" received -ge 10000
done

# What was written is synced a second later.
sleep 2.5
for wakeup in $ways; do
	mnt=$scratch/$wakeup
	ticks >"$scratch/ticks-$wakeup"
	switches >"$scratch/switches-$wakeup"
done
sleep 2
for wakeup in $ways; do
	mnt=$scratch/$wakeup
	claim_number "wakeup=$wakeup: an idle mount uses no processor time" \
		$(($(ticks) - $(cat "$scratch/ticks-$wakeup"))) -le 2
	claim_number "wakeup=$wakeup: its threads sleep" \
		$(($(switches) - $(cat "$scratch/switches-$wakeup"))) -le 40
done

can_hold=false
if [ "$(id -u)" -eq 0 ] && [ -c /dev/cpu_dma_latency ] &&
	[ "$(nproc)" -gt 1 ]; then
	can_hold=true
fi
for wakeup in $ways; do
	mnt=$scratch/$wakeup
	work
	case $wakeup in
	hold)
		! $can_hold || claim_transport \
			"processors were let go, and kept awake again" \
			held_awake -ge 2
		;;
	spin | sleep)
		claim_transport "none were kept awake" held_awake -eq 0
		;;
	esac
	[ "$wakeup" != sleep ] ||
		claim_transport "nobody looked before sleeping" spun -eq 0
	stop_mount "$mnt"
	check_clean "$scratch/store-$wakeup"
done

store=$scratch/store
mnt=$scratch/mnt
shalefs mkfs "$store"
claim_refused "another way to wait" "wakeup=never" "none of auto" \
	shalefs mount -o wakeup=never "$store" "$mnt"

# Each file of the pool is forgotten by the host, so that reading waits for the
# disk. In memory there is no disk to wait for.
if [ "$(stat -f -c %T "$scratch")" = ext2/ext3 ]; then
	start_mount "$store" "$mnt"
	head -c 16777216 /dev/urandom >"$mnt/noise"
	cksum <"$mnt/noise" >"$scratch/sum"
	stop_mount "$mnt"
	for file in "$store"/pool/*; do
		dd if="$file" of=/dev/null iflag=nocache count=0 status=none
	done
	start_mount "$store" "$mnt"
	claim "what is read from the disk is right" \
		test "$(cksum <"$mnt/noise")" = "$(cat "$scratch/sum")"
	claim_number "another thread received while one waited for the disk" \
		"$(figure "$mnt" transport.handed_over)" -gt 0
	stop_mount "$mnt"
fi
check_clean "$store"
kit_end
