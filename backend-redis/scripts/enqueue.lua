-- See lib/enqueue.
return enqueue_jobs(0, HEAD, nil, nil)
