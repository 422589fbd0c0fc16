// SPDX-License-Identifier: Apache-2.0
//
// Package benchmarks measures Go's context with the same operations as tether's.
//
// An operation has the name that it has in the C++ programs; "@2" after it
// stands for two threads. bench.sh runs them with GOMAXPROCS=2.
package benchmarks

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

var (
	background = context.Background()
	sink       any
)

func BenchmarkContext(b *testing.B) {
	b.Run("create and cancel, no parent", createAndCancel)
	b.Run("child: create and cancel", childCreateAndCancel)
	b.Run("child: create and cancel@2", childCreateAndCancelOnTwo)
	b.Run("child, own parent: create and cancel", childCreateAndCancel)
	b.Run("child, own parent: create and cancel@2", childOfOwnParentOnTwo)
	b.Run("is it cancelled: live", func(b *testing.B) { isCancelled(b, 0) })
	b.Run("is it cancelled: live@2", isCancelledOnTwo)
	// Far and near deadlines are the same for Go.
	b.Run("is it cancelled: live, far deadline", func(b *testing.B) { isCancelled(b, time.Hour) })
	b.Run("is it cancelled: live, near deadline", func(b *testing.B) { isCancelled(b, time.Hour) })
	b.Run("callback: register and deregister", registerAndDeregister)
	b.Run("register and cancel 1000 callbacks", func(b *testing.B) { registerAndCancel(b, 1000) })
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("cancel %d callback%s", n, plural(n, "s")), func(b *testing.B) { cancelCallbacks(b, n) })
	}
	b.Run("create and cancel a chain of 1000 children", func(b *testing.B) { createAndCancelChain(b, 1000) })
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("cancel a chain of %d child%s", n, plural(n, "ren")), func(b *testing.B) { cancelChain(b, n) })
	}
	b.Run("child with timeout: create and cancel", func(b *testing.B) { childWithTimeout(b, 0) })
	b.Run("child with timeout: create and cancel@2", childWithTimeoutOnTwo)
	b.Run("child with timeout, own parent: create and cancel", func(b *testing.B) { childWithTimeout(b, 0) })
	b.Run("child with timeout, own parent: create and cancel@2", childOfOwnParentWithTimeoutOnTwo)
	b.Run("child with timeout: create and cancel, beside 4000", func(b *testing.B) { childWithTimeout(b, 4000) })
	b.Run("child with timeout: create and cancel, beside 400000", func(b *testing.B) { childWithTimeout(b, 400000) })
	b.Run("add a value", addValue)
	for _, n := range []int{10, 50, 100} {
		b.Run(fmt.Sprintf("look up a value: miss, %d deep", n), func(b *testing.B) { lookUp(b, deep(n), key(-1)) })
	}
	b.Run("look up a value: miss, 10 among 100 cancel nodes", func(b *testing.B) { lookUp(b, mixed(), key(-1)) })
	b.Run("look up a value: oldest of 10 among 100 cancel nodes", func(b *testing.B) { lookUp(b, mixed(), key(0)) })
	b.Run("memory of a background", func(b *testing.B) {
		memory(b, func() any { return context.Background() })
	})
	b.Run("memory of a child", func(b *testing.B) {
		parent, cancel := context.WithCancel(background)
		defer cancel()
		memory(b, func() any { ctx, _ := context.WithCancel(parent); return ctx })
	})
	b.Run("memory of a child with an armed deadline", func(b *testing.B) {
		parent, cancel := context.WithCancel(background)
		defer cancel()
		memory(b, func() any { ctx, _ := context.WithTimeout(parent, time.Hour); return ctx })
	})
	b.Run("memory of a value", func(b *testing.B) {
		parent, cancel := context.WithCancel(background)
		defer cancel()
		memory(b, func() any { return context.WithValue(parent, key(0), 42) })
	})
}

func plural(n int, ending string) string {
	if n == 1 {
		return ""
	}
	return ending
}

func createAndCancel(b *testing.B) {
	for i := 0; i < b.N; i++ {
		_, cancel := context.WithCancel(background)
		cancel()
	}
}

func childCreateAndCancel(b *testing.B) {
	parent, cancelParent := context.WithCancel(background)
	defer cancelParent()
	for i := 0; i < b.N; i++ {
		_, cancel := context.WithCancel(parent)
		cancel()
	}
}

func childCreateAndCancelOnTwo(b *testing.B) {
	parent, cancelParent := context.WithCancel(background)
	defer cancelParent()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, cancel := context.WithCancel(parent)
			cancel()
		}
	})
}

func childOfOwnParentOnTwo(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		parent, cancelParent := context.WithCancel(background)
		defer cancelParent()
		for pb.Next() {
			_, cancel := context.WithCancel(parent)
			cancel()
		}
	})
}

// live is a child with a timeout, or with none (0).
func live(timeout time.Duration) (context.Context, context.CancelFunc) {
	parent, cancelParent := context.WithCancel(background)
	if timeout == 0 {
		return parent, cancelParent
	}
	ctx, _ := context.WithTimeout(parent, timeout)
	return ctx, cancelParent
}

func isCancelled(b *testing.B, timeout time.Duration) {
	ctx, cancel := live(timeout)
	defer cancel()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if isDone(ctx) {
			b.Fatal("it is")
		}
	}
}

// isDone checks the channel. That is twice as fast as ctx.Err() != nil, which
// takes a lock.
func isDone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

func isCancelledOnTwo(b *testing.B) {
	ctx, cancel := live(0)
	defer cancel()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if isDone(ctx) {
				panic("it is")
			}
		}
	})
}

func registerAndDeregister(b *testing.B) {
	parent, cancel := context.WithCancel(background)
	defer cancel()
	calls := 0
	for i := 0; i < b.N; i++ {
		stop := context.AfterFunc(parent, func() { calls++ })
		stop()
	}
	if calls != 0 {
		b.Fatal("a callback was called")
	}
}

// timeBatches times the second of three steps, b.N times, like TimeBatches in
// ../harness.h.
func timeBatches(b *testing.B, batch int, prepare func(), operation func(i int), finish func()) {
	var total time.Duration
	for done := 0; done < b.N; done += batch {
		prepare()
		start := time.Now()
		for i := 0; i < batch; i++ {
			operation(i)
		}
		total += time.Since(start)
		finish()
	}
	batches := (b.N + batch - 1) / batch
	b.ReportMetric(float64(total.Nanoseconds())/float64(batches*batch), "ns/op")
}

func batchOf(n int) int {
	return max(1, 100/n)
}

// Go runs each callback in its own goroutine. tether's callbacks have run when
// cancel returns, so this waits for Go's.
func registerAndCancel(b *testing.B, n int) {
	var called sync.WaitGroup
	callback := func() { called.Done() }
	for i := 0; i < b.N; i++ {
		ctx, cancel := context.WithCancel(background)
		called.Add(n)
		for j := 0; j < n; j++ {
			context.AfterFunc(ctx, callback)
		}
		cancel()
		called.Wait()
	}
}

func cancelCallbacks(b *testing.B, n int) {
	batch := batchOf(n)
	cancels := make([]context.CancelFunc, batch)
	called := make([]sync.WaitGroup, batch)
	timeBatches(b, batch, func() {
		for i := range cancels {
			ctx, cancel := context.WithCancel(background)
			cancels[i] = cancel
			called[i].Add(n)
			callback := func() { called[i].Done() }
			for j := 0; j < n; j++ {
				context.AfterFunc(ctx, callback)
			}
		}
	}, func(i int) {
		cancels[i]()
		called[i].Wait()
	}, func() {})
}

// chain is a root that can be cancelled, and the last of the n children below
// it.
func chain(n int) (last context.Context, cancel context.CancelFunc) {
	last, cancel = context.WithCancel(background)
	for i := 0; i < n; i++ {
		last, _ = context.WithCancel(last)
	}
	return last, cancel
}

func createAndCancelChain(b *testing.B, n int) {
	for i := 0; i < b.N; i++ {
		last, cancel := chain(n)
		cancel()
		if !isDone(last) {
			b.Fatal("the last child is not done")
		}
	}
}

func cancelChain(b *testing.B, n int) {
	batch := batchOf(n)
	last := make([]context.Context, batch)
	cancels := make([]context.CancelFunc, batch)
	timeBatches(b, batch, func() {
		for i := range cancels {
			last[i], cancels[i] = chain(n)
		}
	}, func(i int) {
		cancels[i]()
	}, func() {
		for _, ctx := range last {
			if !isDone(ctx) {
				b.Fatal("the last child is not done")
			}
		}
	})
}

var armed []context.CancelFunc

// armBeside arms n deadlines at different times. None of them passes.
func armBeside(n int) {
	for len(armed) > n {
		armed[len(armed)-1]()
		armed = armed[:len(armed)-1]
	}
	for len(armed) < n {
		_, cancel := context.WithTimeout(background, time.Hour+time.Duration(len(armed))*10*time.Microsecond)
		armed = append(armed, cancel)
	}
}

func childWithTimeout(b *testing.B, armedBeside int) {
	armBeside(armedBeside)
	parent, cancelParent := context.WithCancel(background)
	defer cancelParent()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		_, cancel := context.WithTimeout(parent, time.Second)
		cancel()
	}
}

func childWithTimeoutOnTwo(b *testing.B) {
	armBeside(0)
	parent, cancelParent := context.WithCancel(background)
	defer cancelParent()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, cancel := context.WithTimeout(parent, time.Second)
			cancel()
		}
	})
}

func childOfOwnParentWithTimeoutOnTwo(b *testing.B) {
	armBeside(0)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		parent, cancelParent := context.WithCancel(background)
		defer cancelParent()
		for pb.Next() {
			_, cancel := context.WithTimeout(parent, time.Second)
			cancel()
		}
	})
}

type key int

func addValue(b *testing.B) {
	parent, cancel := context.WithCancel(background)
	defer cancel()
	for i := 0; i < b.N; i++ {
		sink = context.WithValue(parent, key(0), 42)
	}
}

func deep(depth int) context.Context {
	ctx := background
	for i := 0; i < depth; i++ {
		ctx = context.WithValue(ctx, key(i), i)
	}
	return ctx
}

// mixed is 100 contexts that can be cancelled, with a value above each tenth of
// them.
func mixed() context.Context {
	ctx := background
	for i := 0; i < 100; i++ {
		if i%10 == 0 {
			ctx = context.WithValue(ctx, key(i/10), i)
		}
		ctx, _ = context.WithCancel(ctx)
	}
	return ctx
}

func lookUp(b *testing.B, ctx context.Context, k key) {
	var boxed any = k // boxed once, like a constant key
	if (ctx.Value(boxed) != nil) != (k >= 0) {
		b.Fatal("not as expected")
	}
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		sink = ctx.Value(boxed)
	}
}

// memory reports the heap bytes of one object that create makes.
func memory(b *testing.B, create func() any) {
	const contexts = 100000
	live := make([]any, contexts)
	live[0] = create()
	before := heap()
	for i := range live {
		live[i] = create()
	}
	after := heap()
	runtime.KeepAlive(live)
	b.ReportMetric(float64(int64(after-before))/contexts, "bytes")
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
