sed -i 's/n_est: 50/n_est: 60/' params.yaml
