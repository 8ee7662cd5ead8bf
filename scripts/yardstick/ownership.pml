/* SPDX-License-Identifier: GPL-2.0-only */

/*
 * Who owns the DMA of an IOMMU group: N devices whose drivers are probed and removed, and VFIO, which claims the
 * group and releases it. One step is one access to what is shared. `claimed` is no part of the protocol: VFIO has
 * the group, whatever `owner` says; no driver may take the group then. (The other way round is trivial: a claim is
 * refused by what it reads.)
 *
 * -DCOUNT: the group counts its users (iommu_device_use_default_domain of Linux). Without it the group keeps no
 * count: a removal walks the devices instead, and a probe that is refused clears dev.driver after unlocking.
 * protocol.ts is the same for our own engine.
 */
#ifndef N
#define N 3
#endif

#define NONE 0
#define DMA_API 1
#define VFIO 2

bit mutex_locked;
byte owner;
byte owner_cnt;
bit driver[N];

bit claimed;

#define mutex_lock() atomic { !mutex_locked -> mutex_locked = 1 }
#define mutex_unlock() mutex_locked = 0

active [N] proctype device() {
	byte other;
	bit used;

	driver[_pid] = 1;
	mutex_lock();
#ifdef COUNT
	if
	:: owner_cnt > 0 ->
		if
		:: owner != DMA_API -> mutex_unlock(); goto refused
		:: else
		fi
	:: else
	fi;
	owner = DMA_API;
	atomic { owner_cnt++; assert(!claimed) };
#else
	if
	:: owner == VFIO -> mutex_unlock(); goto refused
	:: else
	fi;
	atomic { owner = DMA_API; assert(!claimed) };
#endif
	mutex_unlock();

	/* Remove: the driver is gone before the group is told. */
	driver[_pid] = 0;
	mutex_lock();
#ifdef COUNT
	owner_cnt--;
	if
	:: owner_cnt == 0 -> owner = NONE
	:: else
	fi;
#else
	do
	:: atomic { other < N -> used = used || (other != _pid && driver[other]); other++ }
	:: other == N -> break
	od;
	if
	:: !used -> owner = NONE
	:: else
	fi;
#endif
	atomic { mutex_unlock(); other = 0; used = 0 };
	goto end;

refused:
	driver[_pid] = 0;
end:
	(0)
}

active proctype claimer() {
	mutex_lock();
	if
#ifdef COUNT
	:: owner_cnt > 0 -> mutex_unlock(); goto end
#else
	:: owner != NONE -> mutex_unlock(); goto end
#endif
	:: else
	fi;
#ifdef COUNT
	owner = VFIO;
	atomic { owner_cnt = 1; claimed = 1 };
#else
	atomic { owner = VFIO; claimed = 1 };
#endif
	mutex_unlock();

	mutex_lock();
#ifdef COUNT
	owner_cnt = 0;
#endif
	atomic { owner = NONE; claimed = 0 };
	mutex_unlock();
end:
	(0)
}
